/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts YAML and JSON text to protobuf messages and back, using their descriptors: field names are the keys.
 *
 * Special forms, recognised by the message's name: cteleport.v1.Timestamp is RFC 3339 text; cteleport.v1.Duration is
 * "1h30m" text; cteleport.v1.Strings is one text or a list of them; a repeated message whose name ends in "Entry" with
 * fields `key` and `value` is a mapping. A single scalar is accepted where a list of scalars is expected. bool takes
 * YAML 1.1 spellings (yes, no, on, off, y, n, true, false, 1, 0), any case, quoted or not. string takes quoted and
 * plain text. In teleport.yaml and in mappings such as labels every scalar is read as text; elsewhere text that YAML
 * reads as a number, boolean or null needs quotes (other parsers drop the leading zeros of an unquoted account number).
 * Enums are written by name. The merge key `<<` is resolved.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* Findings of a loader that are not errors. */
struct schema_notes {
        const char *ignored; /* paths of Teleport's keys whose values have no effect here, separated by ", "; "" if none */
};

/*
 * Reads one document; empty ones beside it are ignored. Errors are INVALID_ARGUMENT, "FILE:LINE:COLUMN: unknown key 'x'
 * in teleport" with the nearest known key as hint; several mistakes in one file become one error that lists them, one
 * line each. `file` names the source in messages. The result is in the arena.
 */
struct error *schema_load_yaml(struct arena *a, const char *file, struct str text,
                               const ProtobufCMessageDescriptor *type, ProtobufCMessage **ret) MUST_USE;

/* The same, and returns its findings; *notes (may be NULL) is in the arena. */
struct error *schema_load_yaml_noting(struct arena *a, const char *file, struct str text,
                                      const ProtobufCMessageDescriptor *type, struct schema_notes *notes,
                                      ProtobufCMessage **ret) MUST_USE;

/* A kind of document in a stream; the table ends with a row without a name. */
struct schema_kind {
        const char *name;
        const ProtobufCMessageDescriptor *type; /* NULL: documents of this kind are refused */
        const char *refusal;                    /* the hint then; such kinds are the last of a list */
};

/*
 * Reads a stream of resource documents (YAML or JSON). `each` gets every document in order with the line it began on;
 * all are read before the first call, so no document is applied if one has a mistake. An error returned by `each` is
 * reported with the position of the field that error_about() has set.
 */
typedef struct error *schema_each(void *ctx, ProtobufCMessage *msg, int line);
struct error *schema_load_stream(struct arena *a, const char *file, struct str text, const struct schema_kind *kinds,
                                 struct schema_notes *notes, schema_each *each, void *ctx) MUST_USE;

/* Writes a message; absent fields (proto2) and defaults (proto3) are left out. Untrusted text is escaped by the format. */
void schema_put_yaml(struct buf *out, const ProtobufCMessage *msg);
enum { SCHEMA_JSON_COMPACT = 0, SCHEMA_JSON_INDENT = 4 };
void schema_put_json(struct buf *out, const ProtobufCMessage *msg, int indent);
/* Writes RFC 3339, up to the year 9999; struct walltime ends in 2262. */
void timestamp_put(struct buf *out, int64_t seconds, int32_t nanos);
/* A JSON array, or YAML documents separated by "---". */
void schema_put_json_list(struct buf *out, const ProtobufCMessage *const *msgs, size_t count, int indent);
void schema_put_yaml_list(struct buf *out, const ProtobufCMessage *const *msgs, size_t count);

#endif
