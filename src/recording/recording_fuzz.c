/* SPDX-License-Identifier: Apache-2.0 */
/*
 * If the first byte is even, the rest is a container, and reader and checker must agree on it. If it is odd, the rest is
 * terminal output with resizes and flushes between; the output read back must equal the output written, byte for byte.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "recording/recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void insist(bool holds, const char *what)
{
        if (!holds)
                bug("a recording %s", what);
}

struct seen {
        struct buf shown; /* output, with a mark for each resize */
        bool has_ended;
        bool has_hole;
        bool is_damaged;
};

static void put_resize(struct buf *out, uint32_t columns, uint32_t rows)
{
        buf_printf(out, "<%u,%u>", columns, rows);
}

static void take(struct seen *seen, const struct recording_event *event)
{
        insist(!seen->has_ended, "goes on behind its end");
        if (event->kind == RECORDING_OUTPUT)
                buf_put(&seen->shown, event->bytes);
        else if (event->kind == RECORDING_RESIZE)
                put_resize(&seen->shown, event->columns, event->rows);
        seen->has_ended = event->kind == RECORDING_END;
        seen->has_hole |= event->kind == RECORDING_HOLE;
        for (size_t i = 0; i < event->line.len; i++)
                insist((uint8_t)event->line.ptr[i] >= 0x20 && event->line.ptr[i] != 0x7f, "has control characters in a line");
}

static void drain(struct recording_reader *r, struct seen *seen)
{
        bool have = true;

        while (have && !seen->is_damaged) {
                struct recording_event event;
                AUTO_PTR(error) err = recording_next(r, &event, &have);

                seen->is_damaged = err != NULL;
                insist(err == NULL || err->code == ERROR_DATA_LOSS || err->code == ERROR_RESOURCE_EXHAUSTED, "fails for a strange reason");
                if (err == NULL && have)
                        take(seen, &event);
        }
}

static void read_all(struct str container, size_t step, struct seen *seen)
{
        struct recording_reader *r = recording_reader_new();

        for (size_t at = 0; at < container.len; at += step) {
                recording_feed(r, str_slice(container, at, step));
                drain(r, seen);
        }
        recording_feed_end(r);
        drain(r, seen);
        recording_reader_free(r);
}

/* Replaces holes by marks of the same length: the result is valid for the checker, up to its end. */
static void mend(struct str container, size_t step)
{
        struct recording_scan *scan = recording_scan_new();
        struct recording_check check = { 0 };
        struct recording_piece p = { 0 };
        struct buf mended = BUF_MAX(container.len);
        uint64_t end = 0;
        bool have = true, is_done = false;

        for (size_t at = 0; !is_done; at += step) {
                if (at >= container.len)
                        recording_scan_end(scan);
                else
                        recording_scan_feed(scan, str_slice(container, at, step));
                is_done = at >= container.len;
                for (have = true; have;) {
                        AUTO_PTR(error) err = recording_scan_next(scan, &p, &have);

                        is_done |= err != NULL;
                        if (err != NULL || !have)
                                break;
                        insist(end == 0 || p.offset == end, "has pieces that do not follow each other");
                        insist(p.offset + p.len <= container.len, "has pieces beyond its end");
                        end = p.offset + p.len;
                        if (mended.len == 0)
                                buf_put(&mended, str_slice(container, 0, (size_t)p.offset));
                        if (p.kind == RECORDING_PIECE_TAIL || (p.kind == RECORDING_PIECE_HOLE && (p.offset == 0 || recording_hole_part(p.len) == 0))) {
                                is_done = true;
                                break;
                        }
                        if (p.kind != RECORDING_PIECE_HOLE || p.is_marked)
                                buf_put(&mended, str_slice(container, (size_t)p.offset, (size_t)p.len));
                        while (mended.len < end)
                                recording_put_hole(&mended, recording_hole_part(end - mended.len), p.next);
                }
        }
        if (mended.len >= 8) {
                AUTO_PTR(error) err = recording_check_feed(&check, buf_str(&mended));

                insist(err == NULL && check.whole == mended.len, "is damaged though its holes are marked");
        }
        recording_scan_free(scan);
        buf_release(&mended);
}

static void compare_reader_and_checker(struct str container, size_t step)
{
        struct recording_check check = { 0 };
        struct seen seen = { .shown = BUF_MAX(1 * MiB) };
        struct recording_chain chain;
        AUTO_PTR(error) err = NULL;

        recording_chain_begin(&chain, STR("session"));
        for (size_t at = 0; at < container.len && err == NULL; at += step) {
                err = recording_check_feed(&check, str_slice(container, at, step));
                recording_chain_feed(&chain, str_slice(container, at, step));
                insist(err != NULL || (chain.whole == check.whole && chain.chunks == check.chunks), "has links where no chunk ends");
        }
        recording_chain_release(&chain);
        read_all(container, 7, &seen);
        insist(check.whole <= container.len, "is whole beyond its end");
        insist(err == NULL || seen.is_damaged || seen.has_hole || !seen.has_ended, "is read to its end though its structure is damaged");
        insist(!seen.has_ended || seen.has_hole || check.has_ended, "ends for the reader only");
        mend(container, step);
        buf_release(&seen.shown);
}

/* Each step is three bytes: the operation, and the number of following bytes that it uses. */
static void write_script(struct recording_writer *w, struct str script, struct buf *expected)
{
        struct duration at = { 0 };

        while (script.len >= 3) {
                uint8_t op = (uint8_t)script.ptr[0];
                size_t len = (size_t)((uint8_t)script.ptr[1] << 4 | ((uint8_t)script.ptr[2] & 15));
                struct str bytes = str_slice(script, 3, len);

                at.ns += (int64_t)op * 1000000;
                script = str_slice(script, 3, script.len);
                if (op % 4 == 0) {
                        recording_resize(w, at, op, (uint32_t)len);
                        put_resize(expected, op, (uint32_t)len);
                        continue;
                }
                if (op % 4 == 1)
                        recording_flush(w);
                recording_output(w, at, bytes);
                buf_put(expected, bytes);
                script = str_slice(script, bytes.len, script.len);
        }
        recording_finish(w, at);
}

static void round_trip(struct str script, size_t step)
{
        struct recording_header header = { .columns = 80, .rows = 24, .term = STR("xterm"), .title = str_slice(script, 0, 9) };
        struct recording_writer *w = recording_writer_new(&header);
        struct seen seen = { .shown = BUF_MAX(8 * MiB) };
        struct recording_check check = { 0 };
        AUTO(buf) expected = BUF_MAX(8 * MiB);

        write_script(w, script, &expected);
        struct str container = recording_drain(w);
        insist(recording_check_feed(&check, container) == NULL && check.whole == container.len, "is damaged by writing it");
        read_all(container, step, &seen);
        insist(seen.has_ended && !seen.is_damaged, "cannot be read");
        insist(str_equal(buf_str(&seen.shown), buf_str(&expected)), "is not what was shown");
        buf_release(&seen.shown);
        recording_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 2)
                return 0;
        struct str rest = str_of_bytes(data + 2, size - 2);
        size_t step = data[1] + 1u;

        if (data[0] % 2 == 0)
                compare_reader_and_checker(rest, step);
        else
                round_trip(rest, step);
        return 0;
}
