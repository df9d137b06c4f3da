/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a decrypted archive. Every file that is read has a valid name and exactly the bytes that its header says, all of them
 * from the input. An accepted header is the one that is written for its values, but for owner and group.
 */
#include <stdint.h>
#include <stdlib.h>

#include "backup/archive_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define insist(condition)                                                                                              \
        do {                                                                                                           \
                if (!(condition))                                                                                      \
                        abort();                                                                                       \
        } while (0)

enum { INPUT_MAX = 256 * KiB };

static void check_header(const char block[TAR_BLOCK])
{
        struct tar_entry entry, again;
        char written[TAR_BLOCK];
        bool is_end = false;
        AUTO_PTR(error) err = tar_header_read(block, &entry, &is_end);

        if (err != NULL || is_end)
                return;
        AUTO_PTR(error) write_err = tar_header_write(&entry, written);
        insist(write_err == NULL);
        AUTO_PTR(error) read_err = tar_header_read(written, &again, &is_end);
        insist(read_err == NULL && !is_end && memcmp(&entry, &again, sizeof entry) == 0);
}

static struct error *read_all(struct archive_reader *r, size_t size)
{
        uint64_t total = 0;
        struct tar_entry entry;
        bool is_end = false;
        char piece[1000];

        for (;;) {
                uint64_t len = 0;
                size_t n = 1;

                TRY(archive_next(r, &entry, &is_end));
                if (is_end)
                        return NULL;
                insist(tar_name_is_valid(str_of(entry.name)));
                for (; n > 0; len += n)
                        TRY(archive_get(r, piece, sizeof piece, &n));
                total += len;
                insist(len == entry.size && total <= size);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(buf) file = BUF_MAX(2 * INPUT_MAX);

        if (size > INPUT_MAX)
                return 0;
        for (size_t at = 0; at + TAR_BLOCK <= size; at += TAR_BLOCK)
                check_header((const char *)data + at);
        AUTO_PTR(age_writer) w = testing_writer(&file);
        AUTO_PTR(error) put = age_writer_put(w, str_of_bytes(data, size));
        AUTO_PTR(error) end = age_writer_finish(w);
        insist(put == NULL && end == NULL && !file.overflowed);
        struct str rest = buf_str(&file);
        AUTO_PTR(age_reader) from = testing_reader(&rest);
        AUTO_PTR(archive_reader) r = archive_reader_new(from);
        AUTO_PTR(error) err = read_all(r, size);
        insist(err == NULL || err->code == ERROR_INVALID_ARGUMENT || err->code == ERROR_DATA_LOSS);
        return 0;
}
