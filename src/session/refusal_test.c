/* SPDX-License-Identifier: Apache-2.0 */
#include "session/refusal.h"

#include <stdlib.h>

#include "base/error_testing.h"
#include "base/mem.h"

#define SENTENCE "not allowed"
#define INIT "\0\0\0\5\1\0\0\0\3"
#define BYTES(text) str_of_bytes(text, sizeof(text) - 1)

/* Feeds all bytes in pieces of `step` bytes; the answer is in `answer`. */
static struct error *feed(struct str bytes, size_t step, struct buf *answer)
{
        struct sftp_refusal r = { .sentence = STR(SENTENCE) };
        size_t at = 0;

        while (at < bytes.len) {
                struct str piece = str_slice(bytes, at, step);
                size_t len = 0;

                TRY(sftp_refusal_feed(&r, piece, &len, answer));
                assert_true(len > 0 && len <= piece.len);
                at += len;
        }
        return NULL;
}

static void answers_each_request(void **state)
{
        static const struct {
                struct str sent, answer;
        } rows[] = {
#define VERSION "\0\0\0\5\2\0\0\0\3"
#define STATUS(id) "\0\0\0\x1c\x65\0\0\0" id "\0\0\0\3\0\0\0\x0b" SENTENCE "\0\0\0\0"
                { STR_INIT(""), STR_INIT("") },
                { { INIT, 9 }, { VERSION, 9 } },
                /* REALPATH, as sftp begins */
                { { INIT "\0\0\0\x0a\x10\0\0\0\7\0\0\0\1.", 9 + 14 }, { VERSION STATUS("\7"), 9 + 32 } },
                /* STAT and OPEN, as scp writes: a directory, and no */
                { { INIT "\0\0\0\x0a\x11\0\0\0\1\0\0\0\1." "\0\0\0\x12\3\0\0\0\2\0\0\0\1f\0\0\0\x1a\0\0\0\0", 9 + 14 + 22 },
                  { VERSION "\0\0\0\x0d\x69\0\0\0\1\0\0\0\4\0\0\x40\0" STATUS("\2"), 9 + 17 + 32 } },
                /* LSTAT and STAT, as scp reads: a file */
                { { INIT "\0\0\0\x0a\7\0\0\0\1\0\0\0\1f" "\0\0\0\x0a\x11\0\0\0\2\0\0\0\1f", 9 + 14 + 14 },
                  { VERSION "\0\0\0\x0d\x69\0\0\0\1\0\0\0\4\0\0\x80\0" "\0\0\0\x0d\x69\0\0\0\2\0\0\0\4\0\0\x80\0", 9 + 17 + 17 } },
                /* an unknown one, without more */
                { { INIT "\0\0\0\5\xff\0\0\0\1", 9 + 9 }, { VERSION STATUS("\1"), 9 + 32 } },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                for (size_t step = 1; step <= rows[i].sent.len + 1; step++) {
                        AUTO(buf) answer = BUF_MAX(1 * KiB);

                        assert_null(feed(rows[i].sent, step, &answer));
                        assert_int_equal(answer.len, rows[i].answer.len);
                        assert_true(str_equal(buf_str(&answer), rows[i].answer));
                }
}

static void refuses_invalid_sftp(void **state)
{
        static const struct str rows[] = {
                { "\0\0\0\5\x11\0\0\0\3", 9 },                /* no greeting */
                { INIT INIT, 18 },                           /* two */
                { "\0\0\0\4\1\0\0\0\3", 9 },                  /* too short for its type */
                { "\0\0\0\0\1\0\0\0\3", 9 },
                { "\0\4\0\1\1\0\0\0\3", 9 },                  /* longer than any request */
                { "\xff\xff\xff\xff\1\0\0\0\3", 9 },
                { "GET / HTTP/1.1\r\n", 16 },
                { INIT "\0\0\0\4\x10\0\0\0\1", 18 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(buf) answer = BUF_MAX(1 * KiB);

                assert_code(feed(rows[i], 1, &answer), ERROR_INVALID_ARGUMENT);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_each_request),
                cmocka_unit_test(refuses_invalid_sftp),
        };

        return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
