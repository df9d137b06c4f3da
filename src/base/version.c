/* SPDX-License-Identifier: Apache-2.0 */
#include "base/version.h"

#include <string.h>

#include "base/text.h"

enum { MAJOR_MAX = 9999 };

static bool is_of_version(char c)
{
        return char_is_alnum(c) || c == '.' || c == '-' || c == '+';
}

void version_text(char to[VERSION_TEXT_MAX], struct str text)
{
        to[0] = '\0';
        if (text.len >= VERSION_TEXT_MAX)
                return;
        for (size_t i = 0; i < text.len; i++)
                if (!is_of_version(text.ptr[i]))
                        return;
        memcpy(to, text.ptr, text.len);
        to[text.len] = '\0';
}

int version_major(struct str text)
{
        char plain[VERSION_TEXT_MAX];
        int64_t major = -1;

        version_text(plain, text);
        struct str rest = str_of(plain);
        struct error *err = parse_int(str_split(&rest, '.'), 0, MAJOR_MAX, "the major number", &major);
        error_free(err);
        return err == NULL && !str_is_empty(rest) ? (int)major : -1;
}

struct error *version_check_host(struct str host, struct str auth)
{
        int theirs = version_major(host), ours = version_major(auth);

        if (theirs < 0 || ours < 0 || theirs == ours || theirs == ours - 1)
                return NULL;
        struct error *err = error_new(ERROR_FAILED_PRECONDITION, "this host runs version %.*s of teleport, and the Auth Service version %.*s", STR_ARG(host),
                                      STR_ARG(auth));
        if (theirs > ours)
                return error_hint(err, "a host may not have a newer major version than the Auth Service: upgrade that first, or install version %d here", ours);
        return error_hint(err, "a host may be one major version older at most: install version %d or %d here", ours - 1, ours);
}
