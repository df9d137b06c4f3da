/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a large cluster's state to the store of a stopped Auth Service.
 */
#ifndef BENCH_FILL_H
#define BENCH_FILL_H

#include <stddef.h>

/* Ends the program on failure. The hosts stay present without heartbeats. */
void fill_cluster(const char *data_dir, size_t hosts, size_t tokens);

#endif
