/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of pki/ and signer/: keys and times.
 */
#ifndef PKI_PKI_TESTING_H
#define PKI_PKI_TESTING_H

#include <stdio.h>

#include "base/error_testing.h"
#include "pki/cert.h"
#include "pki/key.h"

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
