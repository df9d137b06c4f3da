/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is the start of an age file. An accepted header is accepted again without the bytes behind it, with the same result, and
 * no part of it is a whole header. The file itself opens for no key that its writer did not have.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct age_header header, again;
        struct str text = str_of_bytes(data, size);
        struct age_reader *r = NULL;
        size_t len = 0, len_again = 0;

        AUTO_PTR(error) err = age_header_parse(text, &header, &len);
        insist(err == NULL || err->code == ERROR_INVALID_ARGUMENT || err->code == ERROR_RESOURCE_EXHAUSTED);
        insist(len <= size && (err == NULL || len == 0));
        if (len > 0) {
                AUTO_PTR(error) second = age_header_parse(str_slice(text, 0, len), &again, &len_again);

                insist(second == NULL && len_again == len && again.stanza_count == header.stanza_count);
                insist(memcmp(again.mac, header.mac, sizeof header.mac) == 0);
                AUTO_PTR(error) part = age_header_parse(str_slice(text, 0, len - 1), &again, &len_again);
                insist(part == NULL && len_again == 0);
        }
        AUTO_PTR(error) refusal = age_reader_new((struct age_unlock){ .identity = testing_identity }, (struct age_source){ testing_source, &text }, &r);
        insist(refusal != NULL);
        return 0;
}
