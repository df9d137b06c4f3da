/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties: any line matches a query only if it is an event in the requested time and of the requested kind;
 * a query with fewer conditions matches no fewer lines.
 */
#include <stdlib.h>

#include "audit/audit_search.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str line = str_of_bytes(data, size);
        struct str wanted[] = { STR("session.start"), STR("alice") };
        struct audit_query all = { .to = { INT64_MAX } };
        struct audit_query some = { .from = { 1700000000000000000 }, .to = { 1800000000000000000 }, .types = wanted, .type_count = 1,
                                    .users = wanted + 1, .user_count = 1 };
        enum audit_match in_all = audit_line_match(line, &all), in_some = audit_line_match(line, &some);

        if (in_some == AUDIT_MATCHES && in_all != AUDIT_MATCHES)
                bug("a line matches a query and not a wider one");
        if (in_some == AUDIT_MATCHES && !str_contains(line, STR("2")))
                bug("a line without a date is in time");
        if ((in_all == AUDIT_IS_NO_EVENT) != (in_some == AUDIT_IS_NO_EVENT) && in_some != AUDIT_PASSES)
                bug("a line is an event for one query only");
        return 0;
}
