/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers of all benchmarks: ending the program at an error, and medians of measurements.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stddef.h>

#include "base/clock.h"
#include "base/error.h"

/* Prints the error and ends the program; NULL passes. */
void must(struct error *err);

double seconds_since(struct instant start);

/* Measurements in the order they were made; a zeroed one is empty. */
struct sample {
        double *values;
        size_t count, room;
};
void sample_add(struct sample *s, double value);
double sample_quantile(struct sample *s, double part); /* 0.5 is the median; sorts */
void sample_release(struct sample *s);

#endif
