/* SPDX-License-Identifier: Apache-2.0 */
#include "join/method.h"

#include <string.h>

#include "base/bug.h"
#include "base/mem.h"
#include "resource/join_method.h"

#define DECLARE(name) extern const struct join_method join_method_##name;
#define ROW(name) &join_method_##name,

JOIN_METHODS(DECLARE)

static const struct join_method *const methods[] = { JOIN_METHODS(ROW) };

const struct join_method *join_method_find(struct str name)
{
        for (size_t i = 0; i < ARRAY_LEN(methods); i++)
                if (str_equal(name, str_of(methods[i]->name)))
                        return methods[i];
        return NULL;
}

const struct join_method *join_method_with_rules(void)
{
        for (size_t i = 0; i < ARRAY_LEN(methods); i++)
                if (methods[i]->check_rule != NULL)
                        return methods[i];
        return NULL;
}

const struct join_method *join_method_of_params(const Teleport__Join__V1__JoinRequest *request,
                                                const Teleport__Join__V1__ClientParams **ret)
{
        for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
                *ret = methods[i]->params_of(request);
                if (*ret != NULL)
                        return methods[i];
        }
        return NULL;
}

static bool has_payload(const int payloads[JOIN_PAYLOADS_MAX], int payload)
{
        for (size_t i = 0; i < JOIN_PAYLOADS_MAX && payloads[i] != 0; i++)
                if (payloads[i] == payload)
                        return true;
        return false;
}

bool join_method_has_challenge(const struct join_method *m, const Teleport__Join__V1__Challenge *challenge)
{
        return has_payload(m->challenges, (int)challenge->payload_case);
}

bool join_method_has_solution(const struct join_method *m, const Teleport__Join__V1__ChallengeSolution *solution)
{
        return has_payload(m->solutions, (int)solution->payload_case);
}

/* ---- attributes and notes ----------------------------------------------------------------------------------------- */

void join_attributes_add(struct join_attributes *a, const char *name, struct str value, bool is_recorded)
{
        if (a->count == ARRAY_LEN(a->list))
                bug("a join method has more than JOIN_ATTRIBUTES_MAX attributes");
        a->list[a->count++] = (struct join_attribute){ name, value, is_recorded };
}

struct str join_attribute(const struct join_attributes *a, const char *name)
{
        for (size_t i = 0; i < a->count; i++)
                if (strcmp(a->list[i].name, name) == 0)
                        return a->list[i].value;
        return STR("");
}

static const struct join_attribute *next_recorded(const struct join_attributes *a, size_t *at)
{
        while (*at < a->count && !a->list[*at].is_recorded)
                ++*at;
        return *at < a->count ? &a->list[(*at)++] : NULL;
}

bool join_attributes_equal(const struct join_attributes *a, const struct join_attributes *b)
{
        size_t at_a = 0, at_b = 0;

        for (;;) {
                const struct join_attribute *left = next_recorded(a, &at_a), *right = next_recorded(b, &at_b);

                if (left == NULL || right == NULL)
                        return left == right;
                if (strcmp(left->name, right->name) != 0 || !str_equal(left->value, right->value))
                        return false;
        }
}

static void add_note(struct join_findings *f, struct join_note note)
{
        if (f->note_count == ARRAY_LEN(f->notes))
                bug("a join method has more than JOIN_NOTES_MAX notes");
        f->notes[f->note_count++] = note;
}

void join_note_text(struct join_findings *f, const char *name, const char *text)
{
        add_note(f, (struct join_note){ .name = name, .text = text });
}

void join_note_number(struct join_findings *f, const char *name, int64_t number)
{
        add_note(f, (struct join_note){ .name = name, .number = number });
}
