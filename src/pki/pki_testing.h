/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers for the tests of pki/ and signer/: keys, and checks of errors.
 */
#ifndef PKI_PKI_TESTING_H
#define PKI_PKI_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "pki/cert.h"
#include "pki/key.h"

/* Passes when err (consumed) is NULL; prints it otherwise. */
static inline UNUSED void assert_done(struct error *err)
{
        if (err != NULL)
                error_print(err);
        assert_null(err);
}

/* Passes when err (consumed) has the code and `part` occurs in its sentence. */
static inline UNUSED void assert_refused(struct error *err, enum error_code code, const char *part)
{
        assert_non_null(err);
        if (err->code != code || !str_contains(str_of(err->what), str_of(part)))
                print_error("%s: '%s' instead of '%s'\n", error_code_name(err->code), err->what, part);
        assert_int_equal(err->code, code);
        assert_true(str_contains(str_of(err->what), str_of(part)));
        error_free(err);
}

static inline UNUSED void assert_str(struct str got, const char *expected)
{
        if (!str_equal(got, str_of(expected)))
                print_error("'%.*s' instead of '%s'\n", STR_ARG(got), expected);
        assert_true(str_equal(got, str_of(expected)));
}

static inline UNUSED struct cert_times times_of(int64_t from, int64_t to)
{
        return (struct cert_times){ walltime_of_unix(from), walltime_of_unix(to) };
}

static inline UNUSED struct key given_key(enum key_kind kind)
{
        struct key key = { 0 };

        assert_done(key_generate(&key, kind));
        return key;
}

#endif
