/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output of `teleport debug connect` and `tsh debug connect`.
 */
#ifndef CMD_COMMON_DIAGNOSIS_OUTPUT_H
#define CMD_COMMON_DIAGNOSIS_OUTPUT_H

#include "cluster/diagnosis.h"
#include "cmd/common/flags.h"
#include "loop/loop.h"

/* A row for the command's flags: --format with `text` and `json`. */
#define DIAGNOSIS_FORMAT_FLAG                                                                                           \
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "text", .choices = diagnosis_formats, .help = "Output format" }
extern const char *const diagnosis_formats[];

/*
 * Prints a diagnosis: as text each step once it is settled, so that the screen shows where a walk waits; as JSON everything at the end.
 * A zeroed struct is empty.
 */
struct diagnosis_output {
        const struct diagnosis *d;
        bool is_text;
        char *shown[DIAGNOSIS_STEPS]; /* text of the steps that are printed; NULL: not yet */
        struct error *err;            /* standard output is gone */
};

/* Waits for the steps of d. Both are borrowed until the release. */
void diagnosis_output_start(struct diagnosis_output *o, struct diagnosis *d, const struct flags *given);
/* Prints the other steps that were reached. Returns the error for the exit status: NULL unless a step has failed. */
struct error *diagnosis_output_finish(struct diagnosis_output *o) MUST_USE;
/* The same after the walk that the loop runs, which ends by loop_stop(). Runs the loop on until everything is closed, and releases it. */
struct error *diagnosis_output_run(struct diagnosis_output *o, struct loop *l) MUST_USE;
void diagnosis_output_release(struct diagnosis_output *o);

#endif
