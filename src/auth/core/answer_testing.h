/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: callbacks that count down the answers which are awaited. Their context is that number, an unsigned.
 */
#ifndef AUTH_CORE_ANSWER_TESTING_H
#define AUTH_CORE_ANSWER_TESTING_H

#include "base/error_testing.h"

static inline UNUSED void on_closed(void *awaited)
{
        --*(unsigned *)awaited;
}

static inline UNUSED void on_ready(void *awaited, struct error *err)
{
        assert_done(err);
        on_closed(awaited);
}

static inline UNUSED void on_committed(void *awaited, uint64_t revision UNUSED, struct error *err)
{
        on_ready(awaited, err);
}

#endif
