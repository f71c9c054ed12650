/* SPDX-License-Identifier: MIT */
/*
 * The loop of the kernel's samples/watch_queue/watch_test.c without its printf,
 * for records of filesystem errors: what the scenario decode and BenchmarkBesideC compare with.
 * It keeps the fields that the package keeps and checks nothing that the sample
 * does not.
 */
#include <linux/watch_queue.h>
#include "loop.h"

static size_t decode(const unsigned char *p, size_t left, struct event *e)
{
	const struct watch_notification *n = (const void *)p;
	size_t len = n->info & WATCH_INFO_LENGTH;

	if (len < sizeof(*n) || len > left)
		exit(1);
	e->watch = (n->info & WATCH_INFO_ID) >> WATCH_INFO_ID__SHIFT;
	switch (n->type) {
	case WATCH_TYPE_FS_ERROR: {
		const struct fs_error_notification *f = (const void *)p;

		e->kind = 1;
		e->has = 1;
		e->class = n->subtype;
		e->seq = f->seq;
		e->time = f->time;
		e->error = f->error;
		e->fsid[0] = f->fsid[0];
		e->fsid[1] = f->fsid[1];
		e->magic = f->magic;
		if (n->info & FS_ERROR_INFO_INODE) {
			e->has |= 2;
			e->ino = f->ino;
			e->gen = f->gen;
		}
		if (n->info & FS_ERROR_INFO_RANGE) {
			e->has |= 4;
			e->pos = f->pos;
			e->len = f->len;
		}
		if (f->record_type) {
			e->has |= 8;
			e->record_type = f->record_type;
		}
		break;
	}
	default:
		e->kind = 4;
		e->record = p;
		e->record_len = len;
	}
	return len;
}
