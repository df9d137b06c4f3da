/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the text of /metrics: Prometheus' text format 0.0.4 as this project and Teleport write it, without timestamps and without
 * escapes in the values of labels. Everything that is kept is printable ASCII.
 */
#ifndef CLIENT_METRICS_TEXT_H
#define CLIENT_METRICS_TEXT_H

#include "base/error.h"
#include "base/str.h"

enum { METRICS_TEXT_MAX = 1024 * 1024 /* bytes */, METRICS_TEXT_SAMPLES_MAX = 20000 };

struct metrics_sample {
        struct str series; /* name and labels as written: name{a="b"} */
        double value;
};

struct metrics_text {
        struct metrics_sample *all; /* in the order of the text, which they borrow */
        size_t count;
};

/* INVALID_ARGUMENT with the number of the line; RESOURCE_EXHAUSTED beyond METRICS_TEXT_MAX or METRICS_TEXT_SAMPLES_MAX. */
struct error *metrics_text_parse(struct str text, struct metrics_text *ret) MUST_USE;
void metrics_text_release(struct metrics_text *m);

/* The value of a series, written as in the text; NAN if there is none. */
double metrics_text_value(const struct metrics_text *m, const char *series);

/* The value of a label; empty if there is none. */
struct str metrics_text_label(struct str series, const char *label);

/*
 * The upper bound, in seconds, of the bucket in which a share of all observations of a histogram lies: "99 % took at most this
 * time". NAN: there is no observation, or it lies beyond the last bound. labels: as in the text, without `le`; "" for none.
 */
double metrics_text_within(const struct metrics_text *m, const char *name, const char *labels, double share);

#endif
