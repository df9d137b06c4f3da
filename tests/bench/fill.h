/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large cluster's state in the store of an Auth Service that is stopped.
 */
#ifndef BENCH_FILL_H
#define BENCH_FILL_H

#include <stddef.h>

/* Ends the program when it cannot. The hosts are present for good. */
void fill_cluster(const char *data_dir, size_t hosts, size_t tokens);

#endif
