/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits the failed authentications at hosts of applications that a proxy reports to the Auth Service one by one: a failure costs an
 * unauthenticated peer nothing. Beyond a pace, by source and in all, failures are counted, and the next report has their number.
 */
#ifndef PROXY_APPS_APP_FAILURES_H
#define PROXY_APPS_APP_FAILURES_H

#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

enum { APP_FAILURE_COUNTERS = 256 };

/* The owner must not access the fields. */
struct app_failures {
        struct instant all, sources[APP_FAILURE_COUNTERS]; /* when the reports so far are a minute old; index: digest of the source */
        uint64_t left_out;
        uint8_t salt[16]; /* so that nobody can choose an address with the counter of another */
};
void app_failures_init(struct app_failures *f);

/* Whether to report a failure of this address (a port is ignored) now; *ret_left_out is the number of failures since the last report then. */
bool app_failures_may_report(struct app_failures *f, struct str address, struct instant now, uint64_t *ret_left_out) MUST_USE;

/* The report, with this number of others, did not arrive: they are in the next one. */
void app_failures_return(struct app_failures *f, uint64_t left_out);

#endif
