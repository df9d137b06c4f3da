/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts a recording, as the Auth Service sends it, to asciicast v2 or to plain text. Holds one answer of the Auth Service at
 * most.
 *
 * A hole, and at the end everything that is wrong with the recording, becomes a note: a marker event of asciicast
 * ([time, "m", note]), or a line in brackets.
 */
#ifndef PROXY_WEB_RECORDING_EXPORT_H
#define PROXY_WEB_RECORDING_EXPORT_H

#include "api.pb-c.h"
#include "recording/plain_text.h"
#include "recording/recording.h"

enum recording_export_format { RECORDING_EXPORT_CAST, RECORDING_EXPORT_TEXT };

/* The text of one answer, with the notes. */
enum { RECORDING_EXPORT_MAX = 2 * MiB };

/* A plain value; the fields are private but `offset` and `has_ended`. Zeroed may be released. */
struct recording_export {
        int64_t offset; /* of the next request */
        bool has_ended; /* the last answer was converted */
        enum recording_export_format format;
        struct recording_reader *reader;
        struct recording_chain chain;
        struct plain_text plain;
        struct duration at; /* of the last event */
        bool has_begun, has_hole, has_end;
};

void recording_export_begin(struct recording_export *e, struct str session_id, enum recording_export_format format);
void recording_export_release(struct recording_export *e);

/* Converts an answer to GetRecording at e->offset. DATA_LOSS: the file is not of this session, or no recording. */
struct error *recording_export_put(struct recording_export *e, const Cteleport__V1__GetRecordingResponse *r, struct buf *out) MUST_USE;

/* Adds a note at the current time. */
void recording_export_note(struct recording_export *e, struct buf *out, const char *note);

#endif
