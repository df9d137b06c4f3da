/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two matchers must agree: ours, and a table-filling one that is slow and obviously right.
 * Input: pattern, one 0xff byte, text.
 */
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/pattern.h"

enum { INPUT_MAX = 512 };

static bool match_by_table(struct str p, struct str t, bool has_question_mark)
{
        bool *row = mem_array(t.len + 1, sizeof(bool));

        row[0] = true;
        for (size_t i = 0; i < p.len; i++) {
                bool diagonal = row[0];

                row[0] = row[0] && p.ptr[i] == '*';
                for (size_t j = 1; j <= t.len; j++) {
                        bool above = row[j];

                        if (p.ptr[i] == '*')
                                row[j] = above || row[j - 1];
                        else
                                row[j] = diagonal && ((has_question_mark && p.ptr[i] == '?') || p.ptr[i] == t.ptr[j - 1]);
                        diagonal = above;
                }
        }
        bool matched = row[t.len];
        free(row);
        return matched;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size > INPUT_MAX)
                return 0;
        struct str text = str_of_bytes(data, size);
        struct str pattern = str_split(&text, '\xff');
        if (pattern_match(pattern, text) != match_by_table(pattern, text, true) ||
            pattern_match_stars(pattern, text) != match_by_table(pattern, text, false))
                bug("the two matchers disagree");
        return 0;
}
