/* SPDX-License-Identifier: MIT */
/*
 * The loop of the kernel's samples/fanotify/fs-monitor.c without its printf: what
 * the scenario decode and BenchmarkBesideC compare with. It keeps the fields that the package
 * keeps and checks nothing that the sample does not.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <linux/fanotify.h>
#include "loop.h"

static size_t decode(const unsigned char *p, size_t left, struct event *e)
{
	const struct fanotify_event_metadata *m = (const void *)p;
	size_t at;

	if (m->event_len < sizeof(*m) || m->event_len > left)
		exit(1);
	e->pid = m->pid;
	e->has = 1;
	if (m->mask & FAN_Q_OVERFLOW) {
		e->kind = 2;
	} else if (m->mask & FAN_FS_ERROR) {
		e->kind = 1;
	} else {
		e->kind = 4;
		e->record = p;
		e->record_len = m->event_len;
	}
	for (at = m->metadata_len; at < m->event_len;) {
		const struct fanotify_event_info_header *h = (const void *)(p + at);

		switch (h->info_type) {
		case FAN_EVENT_INFO_TYPE_ERROR: {
			const struct fanotify_event_info_error *i = (const void *)h;

			e->error = i->error;
			e->count = i->error_count;
			e->has |= 2;
			break;
		}
		case FAN_EVENT_INFO_TYPE_FID: {
			const struct fanotify_event_info_fid *i = (const void *)h;
			const struct file_handle *fh = (const void *)i->handle;

			memcpy(e->fsid, &i->fsid, sizeof(e->fsid));
			e->has |= 4;
			if (!fh->handle_bytes)
				break;
			e->handle_type = fh->handle_type;
			e->handle = fh->f_handle;
			e->handle_len = fh->handle_bytes;
			e->has |= 8;
			if (fh->handle_type == 1) {
				e->ino = *(const uint32_t *)fh->f_handle;
				e->gen = *(const uint32_t *)(fh->f_handle + 4);
				e->has |= 16;
			}
			break;
		}
		case FAN_EVENT_INFO_TYPE_ERROR_DETAIL: {
			const struct fanotify_event_info_error_detail *i = (const void *)h;

			e->error = i->error;
			e->class = i->error_class;
			e->has |= 32;
			if (i->flags & FAN_ERROR_DETAIL_INODE) {
				e->ino = i->inode;
				e->gen = i->generation;
				e->has |= 16;
			}
			if (i->flags & FAN_ERROR_DETAIL_RANGE) {
				e->pos = i->offset;
				e->len = i->length;
				e->has |= 64;
			}
			break;
		}
		case FAN_EVENT_INFO_TYPE_FS_RECORD: {
			const struct fanotify_event_info_fs_record *i = (const void *)h;

			e->magic = e->record_magic = i->magic;
			e->record_type = i->type;
			e->record = i->data;
			e->record_len = i->len;
			e->has |= 128;
			break;
		}
		}
		at += h->len;
	}
	return m->event_len;
}
