/* SPDX-License-Identifier: MIT */
/* Decodes the records in a file over and over. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* What both packages keep of an event: struct Event of package fserr. */
struct event {
	uint8_t kind, class, loss, watch;
	uint32_t has;
	int32_t error;
	uint32_t fsid[2], magic;
	uint64_t ino;
	uint32_t gen;
	int32_t pid, pidfd, handle_type;
	const unsigned char *handle;
	size_t handle_len;
	int64_t pos;
	uint64_t len, count, seq;
	int64_t time, recv;
	uint64_t ip;
	uint32_t record_magic, record_type;
	uint64_t missing;
	const unsigned char *record;
	size_t record_len;
};

static size_t decode(const unsigned char *p, size_t left, struct event *e);

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* The least time for one record, for events that are cleared first or are not. */
static double least(const unsigned char *buf, size_t size, long rounds, int clear)
{
	static struct event events[64];
	int64_t best = INT64_MAX;
	long n;

	while (rounds--) {
		int64_t start = now();
		size_t at = 0;

		for (n = 0; at < size; n++) {
			struct event *e = &events[n % 64];

			if (clear)
				*e = (struct event){0};
			at += decode(buf + at, size - at, e);
			__asm__ volatile("" : : "r"(e) : "memory");
		}
		start = now() - start;
		if (start < best)
			best = start;
	}
	return (double)best / n;
}

int main(int argc, char **argv)
{
	static unsigned char buf[1 << 20];
	FILE *f = argc == 3 ? fopen(argv[1], "r") : NULL;
	size_t size = f ? fread(buf, 1, sizeof(buf), f) : 0;
	long rounds = argc == 3 ? atol(argv[2]) : 0;

	if (!size || rounds < 1)
		return 1;
	printf("%f ", least(buf, size, rounds, 1));
	printf("%f\n", least(buf, size, rounds, 0));
	return 0;
}
