/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output that several commands share: formats, labels, times.
 */
#ifndef CMD_COMMON_OUTPUT_H
#define CMD_COMMON_OUTPUT_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cmd/common/flags.h"
#include "resource.pb-c.h"

/* Bytes of output of one command: 100,000 nodes with a page of labels each. */
enum { OUTPUT_MAX = 1024 * MiB };

/* --format with `text`, `json`, `yaml`: rows for flag tables. */
extern const char *const output_formats[];
#define OUTPUT_FORMAT_FLAG(preset)                                                                 \
        { "format", 'f', FLAG_TEXT, .value = "FORMAT", .fallback = (preset), .choices = output_formats, .help = "Output format" }

/* Whether the format is text; otherwise the messages are appended as a JSON array or YAML documents. */
bool output_is_text(const struct flags *given);
void output_put_list(struct buf *out, const struct flags *given, ProtobufCMessage *const *msgs, size_t count);
/* The same for a single message that is not a resource: a JSON object. */
void output_put_one(struct buf *out, const struct flags *given, const ProtobufCMessage *msg);

/* Writes everything to standard output. */
struct error *output_flush(struct buf *out) MUST_USE;

/* "env=prod,team=db", sorted by key; the cluster's own labels (teleport.dev/…) only when verbose. */
void output_put_labels(struct buf *out, const Cteleport__V1__Metadata *metadata, bool is_verbose);

/* "a, b". */
void output_put_words(struct buf *out, char *const *words, size_t count, const char *separator);

/* RFC 3339 in UTC; NULL gives "never". */
void output_put_time(struct buf *out, const Cteleport__V1__Timestamp *t);

#endif
