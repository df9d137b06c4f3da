/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The output of `teleport debug connect` and `tsh debug connect`.
 */
#ifndef CMD_COMMON_DIAGNOSIS_OUTPUT_H
#define CMD_COMMON_DIAGNOSIS_OUTPUT_H

#include "cluster/diagnosis.h"
#include "cmd/common/flags.h"

/* A row for the command's flags: --format with `text` and `json`. */
#define DIAGNOSIS_FORMAT_FLAG                                                                                           \
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = "text", .choices = diagnosis_formats, .help = "Output format" }
extern const char *const diagnosis_formats[];

/* Prints the steps that were reached. Returns the error for the exit status: NULL unless a step has failed. */
struct error *diagnosis_print(const struct diagnosis *d, const struct flags *given) MUST_USE;

#endif
