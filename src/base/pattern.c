/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pattern.h"

static bool match(struct str pattern, struct str text, bool has_question_mark)
{
        size_t p = 0, t = 0;
        size_t star = pattern.len; /* position of the last '*'; pattern.len: none yet */
        size_t resume = 0;         /* position in the text at which that '*' was last tried */

        /* Backtracking to the last star suffices: characters matched by an earlier star can always be matched by a later one. */
        while (t < text.len) {
                if (p < pattern.len && pattern.ptr[p] == '*') {
                        star = p++;
                        resume = t;
                } else if (p < pattern.len && ((has_question_mark && pattern.ptr[p] == '?') || pattern.ptr[p] == text.ptr[t])) {
                        p++;
                        t++;
                } else if (star < pattern.len) {
                        p = star + 1;
                        t = ++resume;
                } else {
                        return false;
                }
        }
        while (p < pattern.len && pattern.ptr[p] == '*')
                p++;
        return p == pattern.len;
}

bool pattern_match(struct str pattern, struct str text)
{
        return match(pattern, text, true);
}

bool pattern_match_stars(struct str pattern, struct str text)
{
        return match(pattern, text, false);
}
