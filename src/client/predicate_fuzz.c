/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that a compiled query can be evaluated, and that its negation, if it compiles within the limits, is the opposite.
 */
#include "base/bug.h"
#include "base/buf.h"
#include "client/predicate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct predicate_label labels[] = { { STR_INIT("env"), STR_INIT("prod") } };
        const struct predicate_subject node = { .name = STR("web-1"), .id = STR("1"), .addr = STR("a"), .labels = labels,
                                                .label_count = 1 };
        AUTO_PTR(arena) a = arena_new(256 * KiB);
        AUTO(buf) negated = BUF_MAX(2 * PREDICATE_TEXT_MAX);
        const struct predicate *p = NULL, *opposite = NULL;

        AUTO_PTR(error) err = predicate_compile(a, str_of_bytes(data, size), "nodes", &p);
        if (err != NULL)
                return 0;
        buf_put_c(&negated, "!(");
        buf_put(&negated, str_of_bytes(data, size));
        buf_put_c(&negated, ")");
        bool matches = predicate_matches(p, &node);
        AUTO_PTR(error) too_much = predicate_compile(a, buf_str(&negated), "nodes", &opposite);
        if (too_much == NULL && predicate_matches(opposite, &node) == matches)
                bug("a query and its negation agree");
        return 0;
}
