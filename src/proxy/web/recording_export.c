/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/recording_export.h"

#include "base/text.h"
#include "rpc/pb.h"

void recording_export_begin(struct recording_export *e, struct str session_id, enum recording_export_format format)
{
        *e = (struct recording_export){ .format = format, .reader = recording_reader_new() };
        recording_chain_begin(&e->chain, session_id);
}

void recording_export_release(struct recording_export *e)
{
        recording_reader_free(e->reader);
        recording_chain_release(&e->chain);
        *e = (struct recording_export){ 0 };
}

/* Players refuse a recording without a header. */
static void put_missing_header(struct recording_export *e, struct buf *out)
{
        if (!e->has_begun && e->format == RECORDING_EXPORT_CAST)
                buf_put_c(out, "{\"version\":2,\"width\":80,\"height\":24}\n");
        e->has_begun = true;
}

void recording_export_note(struct recording_export *e, struct buf *out, const char *note)
{
        put_missing_header(e, out);
        if (e->format == RECORDING_EXPORT_TEXT) {
                buf_printf(out, "\n[%s]\n", note);
                return;
        }
        buf_printf(out, "[%lld.%06lld,\"m\",", (long long)(e->at.ns / 1000000000), (long long)(e->at.ns / 1000 % 1000000));
        json_put_string(out, str_of(note));
        buf_put_c(out, "]\n");
}

static void put_event(struct recording_export *e, const struct recording_event *event, struct buf *out)
{
        e->at = event->at;
        if (event->kind == RECORDING_END) {
                e->has_end = true;
        } else if (event->kind == RECORDING_HOLE) {
                AUTO(buf) note = BUF_MAX(256);

                e->has_hole = true;
                buf_printf(&note, "%llu bytes of the recording are missing here", (unsigned long long)event->missing_bytes);
                recording_export_note(e, out, buf_c(&note));
        } else if (e->format == RECORDING_EXPORT_CAST) {
                e->has_begun = true;
                buf_put(out, event->line);
                buf_put_char(out, '\n');
        } else if (event->kind == RECORDING_OUTPUT) {
                plain_text_put(&e->plain, out, event->bytes);
        }
}

/* Adds what is wrong with the whole: nothing is, if the recording is complete and has its digest. */
static void put_verdict(struct recording_export *e, const Cteleport__V1__GetRecordingResponse *r, struct buf *out)
{
        bool has_digest = r->digest.len == RECORDING_LINK_LEN;

        if (strcmp(r->status, "recording") == 0)
                recording_export_note(e, out, "the session still goes on: this is its recording so far");
        else if (e->offset != r->size)
                recording_export_note(e, out, "the recording is incomplete: bytes at its end are missing or were added");
        else if (!e->has_hole && has_digest && !str_equal(pb_str(r->digest), str_of_bytes(e->chain.link, sizeof e->chain.link)))
                recording_export_note(e, out, "the recording was altered after it was received: its digest does not match");
        else if (strcmp(r->status, "aborted") == 0)
                recording_export_note(e, out, "the recording stops before the end of the session: its host was lost or stopped");
        else if (strcmp(r->status, "waiting") == 0)
                recording_export_note(e, out, "the session is over, and the rest of its recording has not arrived from its host yet");
        else if (strcmp(r->status, "unrecorded") == 0)
                recording_export_note(e, out, "the cluster has lost its record of the length and digest of the recording");
        else if (r->is_complete && !e->has_end)
                recording_export_note(e, out, "the recording has no end");
}

struct error *recording_export_put(struct recording_export *e, const Cteleport__V1__GetRecordingResponse *r, struct buf *out)
{
        struct recording_event event;
        bool have = true;

        e->offset += (int64_t)r->data.len;
        e->has_ended = r->data.len == 0;
        recording_chain_feed(&e->chain, pb_str(r->data));
        if (!e->has_begun && r->first.len > 0 && e->chain.chunks > 0 &&
            !str_equal(pb_str(r->first), str_of_bytes(e->chain.first, sizeof e->chain.first)))
                return error_new(ERROR_DATA_LOSS, "the cluster's file is the recording of another session, or was altered from its beginning");
        recording_feed(e->reader, pb_str(r->data));
        if (e->has_ended)
                recording_feed_end(e->reader);
        for (;;) {
                TRY(recording_next(e->reader, &event, &have));
                if (!have)
                        break;
                put_event(e, &event, out);
        }
        if (e->has_ended)
                put_verdict(e, r, out);
        return NULL;
}
