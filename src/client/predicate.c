/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A query becomes a list of tests and a postfix program over them (the shunting-yard of Dijkstra): neither
 * parsing nor evaluation is recursive, so that a constant limits the nesting depth.
 */
#include "client/predicate.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum { ARGUMENTS_MAX = 8, PROGRAM_MAX = PREDICATE_TESTS_MAX * 2 + PREDICATE_NESTING_MAX };

enum value_kind { VALUE_TEXT, VALUE_NAME, VALUE_ID, VALUE_ADDR, VALUE_LABEL };

struct value {
        enum value_kind kind;
        struct str text; /* the text, or the label's key */
};

enum test_kind { TEST_EQUAL, TEST_UNEQUAL, TEST_SEARCH, TEST_PREFIX, TEST_EXISTS };

struct test {
        enum test_kind kind;
        struct value arguments[ARGUMENTS_MAX];
        size_t count;
};

/* Numbers from 0 on are tests in the postfix program. The stack of operators also holds `(` and `!`. */
enum op { OP_NOT = -1, OP_AND = -2, OP_OR = -3, OP_OPEN = -4 };

struct predicate {
        struct test tests[PREDICATE_TESTS_MAX];
        size_t test_count;
        int program[PROGRAM_MAX];
        size_t length;
};

/* The state of parsing a query. */
struct parser {
        struct arena *arena;
        struct str query;
        const char *subjects; /* what the query selects */
        size_t at;
        struct predicate *out;
        int waiting[PREDICATE_NESTING_MAX + 2]; /* stack of operators: room for one && and one || beyond the nesting */
        size_t waiting_count;
        bool is_too_long; /* the program has reached its maximum length */
};

static struct error *wrong(const struct parser *p, const char *why)
{
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the query makes no sense at character %zu: %s", p->at + 1, why),
                          "for instance: --query='labels[\"env\"] == \"prod\" && hasPrefix(name, \"web-\")'");
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

static char peek(struct parser *p)
{
        while (p->at < p->query.len && (p->query.ptr[p->at] == ' ' || p->query.ptr[p->at] == '\t' || p->query.ptr[p->at] == '\n'))
                p->at++;
        return p->at < p->query.len ? p->query.ptr[p->at] : '\0';
}

/* Consumes the token if it is next. */
static bool take(struct parser *p, struct str mark)
{
        peek(p);
        if (!str_starts_with(str_slice(p->query, p->at, p->query.len), mark))
                return false;
        p->at += mark.len;
        return true;
}

/* Consumes letters, digits, '_', '-' and '.'; empty when the next character is another one. */
static struct str take_word(struct parser *p)
{
        peek(p);
        size_t start = p->at;
        while (p->at < p->query.len && (char_is_alnum(p->query.ptr[p->at]) || strchr("_-.", p->query.ptr[p->at]) != NULL) &&
               p->query.ptr[p->at] != '\0')
                p->at++;
        return str_slice(p->query, start, p->at - start);
}

/* Parses "text" or 'text', with backslashes before quotes and backslashes, or `text` without escapes. */
static struct error *take_text(struct parser *p, struct str *ret)
{
        AUTO(buf) text = BUF_MAX(PREDICATE_TEXT_MAX);
        char quote = peek(p);

        for (p->at++; p->at < p->query.len; p->at++) {
                char c = p->query.ptr[p->at];

                if (c == quote) {
                        p->at++;
                        *ret = arena_str(p->arena, buf_str(&text));
                        return NULL;
                }
                if (c == '\\' && quote != '`' && p->at + 1 < p->query.len)
                        c = p->query.ptr[++p->at];
                buf_put_char(&text, c);
        }
        return wrong(p, "a text does not end");
}

static bool is_quote(char c)
{
        return c == '"' || c == '\'' || c == '`';
}

/* ---- values and tests ---------------------------------------------------------------------------------------- */

static const struct {
        const char *name;
        enum value_kind kind;
} fields[] = {
        { "name", VALUE_NAME },
        { "resource.metadata.name", VALUE_ID },
        { "resource.spec.hostname", VALUE_NAME },
        { "resource.spec.addr", VALUE_ADDR },
};

static const struct {
        const char *name;
        enum test_kind kind;
        size_t least, most;
} calls[] = {
        { "search", TEST_SEARCH, 1, ARGUMENTS_MAX },
        { "equals", TEST_EQUAL, 2, 2 },
        { "hasPrefix", TEST_PREFIX, 2, 2 },
        { "exists", TEST_EXISTS, 1, 1 },
};

/* Parses labels["key"] or labels.key; `word` is the text before a bracket. */
static struct error *take_label(struct parser *p, struct str word, struct value *ret)
{
        struct str prefixes[] = { STR("resource.metadata.labels"), STR("labels") };

        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
                if (!str_starts_with(word, prefixes[i]))
                        continue;
                struct str rest = str_slice(word, prefixes[i].len, word.len);
                ret->kind = VALUE_LABEL;
                if (rest.len > 1 && rest.ptr[0] == '.') {
                        ret->text = arena_str(p->arena, str_slice(rest, 1, rest.len));
                        return NULL;
                }
                if (str_is_empty(rest) && take(p, STR("[")) && is_quote(peek(p))) {
                        TRY(take_text(p, &ret->text));
                        return take(p, STR("]")) ? NULL : wrong(p, "a ']' is missing");
                }
                return wrong(p, "write labels[\"key\"]");
        }
        AUTO_MEM char *why = mem_printf("this is neither a text in quotes nor an attribute of %s: name, labels[\"key\"]", p->subjects);
        return wrong(p, why);
}

static struct error *field_or_label(struct parser *p, struct str word, struct value *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
                if (str_equal(word, str_of(fields[i].name))) {
                        *ret = (struct value){ .kind = fields[i].kind };
                        return NULL;
                }
        return take_label(p, word, ret);
}

static struct error *take_value(struct parser *p, struct value *ret)
{
        *ret = (struct value){ .kind = VALUE_TEXT };
        if (is_quote(peek(p)))
                return take_text(p, &ret->text);
        return field_or_label(p, take_word(p), ret);
}

static struct error *take_arguments(struct parser *p, struct test *t, size_t least, size_t most)
{
        while (!take(p, STR(")"))) {
                if (t->count == most)
                        return wrong(p, peek(p) == ',' ? "there are too many arguments" : "a ')' is missing");
                if (t->count > 0 && !take(p, STR(",")))
                        return wrong(p, "a ',' or ')' is missing");
                TRY(take_value(p, &t->arguments[t->count++]));
        }
        if (t->count < least)
                return wrong(p, "an argument is missing");
        if (t->kind == TEST_EXISTS && t->arguments[0].kind != VALUE_LABEL)
                return wrong(p, "exists() needs labels[\"key\"]");
        return NULL;
}

static struct error *take_comparison(struct parser *p, struct test *t)
{
        if (take(p, STR("==")))
                t->kind = TEST_EQUAL;
        else if (take(p, STR("!=")))
                t->kind = TEST_UNEQUAL;
        else
                return wrong(p, "a '==' or '!=' is missing");
        t->count = 2;
        return take_value(p, &t->arguments[1]);
}

static void emit(struct parser *p, int step)
{
        if (p->out->length == PROGRAM_MAX)
                p->is_too_long = true;
        else
                p->out->program[p->out->length++] = step;
}

/* Parses a comparison or a call, and adds it to the program. */
static struct error *take_test(struct parser *p)
{
        if (p->out->test_count == PREDICATE_TESTS_MAX)
                return wrong(p, "it is too complex");
        struct test *t = &p->out->tests[p->out->test_count];
        emit(p, (int)p->out->test_count++);
        if (is_quote(peek(p))) {
                TRY(take_value(p, &t->arguments[0]));
                return take_comparison(p, t);
        }
        struct str word = take_word(p);
        for (size_t i = 0; i < ARRAY_LEN(calls); i++)
                if (str_equal(word, str_of(calls[i].name)) && take(p, STR("("))) {
                        t->kind = calls[i].kind;
                        return take_arguments(p, t, calls[i].least, calls[i].most);
                }
        TRY(field_or_label(p, word, &t->arguments[0]));
        return take_comparison(p, t);
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static void pop_into_program(struct parser *p)
{
        emit(p, p->waiting[--p->waiting_count]);
}

static bool waits(const struct parser *p, enum op op)
{
        return p->waiting_count > 0 && p->waiting[p->waiting_count - 1] == (int)op;
}

static struct error *push(struct parser *p, enum op op)
{
        if (p->waiting_count == ARRAY_LEN(p->waiting))
                return wrong(p, "it is nested too deeply");
        p->waiting[p->waiting_count++] = (int)op;
        return NULL;
}

/* Parses the start of a term: '!', '(' or a test. *ret_whole: a term is complete. */
static struct error *begin_term(struct parser *p, bool *ret_whole)
{
        *ret_whole = false;
        if (p->waiting_count >= PREDICATE_NESTING_MAX)
                return wrong(p, "it is nested too deeply");
        if (take(p, STR("!")))
                return push(p, OP_NOT);
        if (take(p, STR("(")))
                return push(p, OP_OPEN);
        TRY(take_test(p));
        *ret_whole = true;
        while (waits(p, OP_NOT))
                pop_into_program(p);
        return NULL;
}

static struct error *close_parenthesis(struct parser *p)
{
        while (p->waiting_count > 0 && !waits(p, OP_OPEN))
                pop_into_program(p);
        if (p->waiting_count == 0)
                return wrong(p, "this ')' closes nothing");
        p->waiting_count--;
        while (waits(p, OP_NOT))
                pop_into_program(p);
        return NULL;
}

/* Parses the token after a term: ')', '&&' or '||'. *ret_whole: a term is still complete. */
static struct error *after_term(struct parser *p, bool *ret_whole)
{
        if (take(p, STR(")")))
                return close_parenthesis(p);
        *ret_whole = false;
        if (take(p, STR("&&"))) {
                while (waits(p, OP_AND))
                        pop_into_program(p);
                return push(p, OP_AND);
        }
        if (take(p, STR("||"))) {
                while (waits(p, OP_AND) || waits(p, OP_OR))
                        pop_into_program(p);
                return push(p, OP_OR);
        }
        return wrong(p, "a '&&', '||' or ')' is missing");
}

struct error *predicate_compile(struct arena *a, struct str query, const char *subjects, const struct predicate **ret)
{
        struct parser p = { .arena = a, .query = query, .subjects = subjects, .out = arena_alloc(a, sizeof *p.out) };
        bool is_whole = false;

        if (query.len > PREDICATE_TEXT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "the query has %zu characters, more than %d", query.len,
                                 PREDICATE_TEXT_MAX);
        while (peek(&p) != '\0' || p.at < query.len) {
                if (is_whole)
                        TRY(after_term(&p, &is_whole));
                else
                        TRY(begin_term(&p, &is_whole));
        }
        if (!is_whole)
                return wrong(&p, "it ends too early");
        while (p.waiting_count > 0) {
                if (waits(&p, OP_OPEN))
                        return wrong(&p, "a ')' is missing");
                pop_into_program(&p);
        }
        if (p.is_too_long)
                return wrong(&p, "it is too complex");
        *ret = p.out;
        return NULL;
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static const struct predicate_label *find_label(const struct predicate_subject *s, struct str key)
{
        for (size_t i = 0; i < s->label_count; i++)
                if (str_equal(s->labels[i].key, key))
                        return &s->labels[i];
        return NULL;
}

static struct str value_of(const struct value *v, const struct predicate_subject *s)
{
        const struct predicate_label *label;

        switch (v->kind) {
        case VALUE_TEXT:
                return v->text;
        case VALUE_NAME:
                return s->name;
        case VALUE_ID:
                return s->id;
        case VALUE_ADDR:
                return s->addr;
        case VALUE_LABEL:
                label = find_label(s, v->text);
                return label == NULL ? STR("") : label->value;
        }
        return STR("");
}

static bool contains_nocase(struct str text, struct str word)
{
        for (size_t i = 0; i + word.len <= text.len; i++)
                if (str_equal_nocase(str_slice(text, i, word.len), word))
                        return true;
        return false;
}

bool predicate_subject_has_word(const struct predicate_subject *s, struct str word)
{
        if (contains_nocase(s->name, word) || contains_nocase(s->addr, word) || contains_nocase(s->id, word) || contains_nocase(s->description, word))
                return true;
        for (size_t i = 0; i < s->label_count; i++)
                if (contains_nocase(s->labels[i].key, word) || contains_nocase(s->labels[i].value, word))
                        return true;
        return false;
}

static bool run_test(const struct test *t, const struct predicate_subject *s)
{
        switch (t->kind) {
        case TEST_EQUAL:
                return str_equal(value_of(&t->arguments[0], s), value_of(&t->arguments[1], s));
        case TEST_UNEQUAL:
                return !str_equal(value_of(&t->arguments[0], s), value_of(&t->arguments[1], s));
        case TEST_PREFIX:
                return str_starts_with(value_of(&t->arguments[0], s), value_of(&t->arguments[1], s));
        case TEST_EXISTS:
                return find_label(s, t->arguments[0].text) != NULL;
        case TEST_SEARCH:
                for (size_t i = 0; i < t->count; i++)
                        if (!predicate_subject_has_word(s, value_of(&t->arguments[i], s)))
                                return false;
                return true;
        }
        return false;
}

bool predicate_matches(const struct predicate *p, const struct predicate_subject *s)
{
        bool stack[PREDICATE_TESTS_MAX] = { false };
        size_t height = 0;

        for (size_t i = 0; i < p->length; i++) {
                if (p->program[i] >= 0) {
                        stack[height++] = run_test(&p->tests[p->program[i]], s);
                } else if (p->program[i] == OP_NOT) {
                        stack[height - 1] = !stack[height - 1];
                } else {
                        height--;
                        stack[height - 1] = p->program[i] == OP_AND ? stack[height - 1] && stack[height]
                                                                    : stack[height - 1] || stack[height];
                }
        }
        return stack[0];
}
