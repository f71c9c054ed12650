/* SPDX-License-Identifier: MIT */
/* What a program must have defined before it includes fs/xfs/libxfs/xfs_fs.h. */
#include <stdint.h>
#include <sys/types.h>
#include <linux/types.h>
#include <linux/fs.h>

#define __user
typedef uint32_t prid_t;
typedef int64_t xfs_off_t;
