/* SPDX-License-Identifier: Apache-2.0 */
#include "base/regex.h"

#include "base/mem.h"
#include "base/text.h"

enum {
        DEPTH_MAX = 16,    /* brackets within brackets */
        REPEAT_MAX = 255,  /* n and m of x{n,m} */
        WORK_MAX = 10000,  /* atoms parsed, counting those of a repetition each time: bounds patterns that emit no code */
        SET_SIZE = 32,     /* a bit per byte */
        FOREVER = -1,
};

enum step_kind { STEP_BYTE, STEP_SET, STEP_SPLIT, STEP_JUMP, STEP_MATCH };

struct parser {
        struct str pattern;
        size_t at;
        struct regex *re;
        unsigned depth, work;
        const char *wrong; /* the first error; parsing stops there */
};

/* ---- emitting --------------------------------------------------------------------------------------------- */

static void fail(struct parser *p, const char *wrong)
{
        if (p->wrong == NULL)
                p->wrong = wrong;
        p->at = p->pattern.len;
}

/* Inserts a step at `position` and moves the later steps; jumps are relative, so a piece of code can be moved. */
static void insert(struct parser *p, size_t position, struct regex_step step)
{
        struct regex *re = p->re;

        if (re->size == REGEX_CODE_MAX) {
                fail(p, "is too large");
                return;
        }
        memmove(&re->code[position + 1], &re->code[position], (re->size - position) * sizeof re->code[0]);
        re->code[position] = step;
        re->size++;
}

static void emit(struct parser *p, struct regex_step step)
{
        insert(p, p->re->size, step);
}

/* Emits a step for a class; equal classes share their set, so that repetitions need no more. */
static void emit_set(struct parser *p, const uint8_t set[SET_SIZE])
{
        struct regex *re = p->re;
        size_t i = 0;

        while (i < re->set_count && memcmp(re->sets[i], set, SET_SIZE) != 0)
                i++;
        if (i == REGEX_SETS_MAX) {
                fail(p, "has too many classes");
                return;
        }
        if (i == re->set_count)
                memcpy(re->sets[re->set_count++], set, SET_SIZE);
        emit(p, (struct regex_step){ .what = STEP_SET, .arg = (uint8_t)i });
}

/* ---- sets --------------------------------------------------------------------------------------------------- */

static void set_add(uint8_t *set, unsigned first, unsigned last)
{
        for (unsigned c = first; c <= last; c++)
                set[c / 8] |= (uint8_t)(1u << (c % 8));
}

static void set_invert(uint8_t *set)
{
        for (size_t i = 0; i < SET_SIZE; i++)
                set[i] = (uint8_t)~set[i];
}

/* Adds the class of `\d` and similar escapes; false: the letter has no class. */
static bool set_add_class(uint8_t *set, char letter)
{
        uint8_t class[SET_SIZE] = { 0 };

        switch (char_lower(letter)) {
        case 'd':
                set_add(class, '0', '9');
                break;
        case 'w':
                set_add(class, '0', '9');
                set_add(class, 'A', 'Z');
                set_add(class, 'a', 'z');
                set_add(class, '_', '_');
                break;
        case 's':
                set_add(class, '\t', '\n');
                set_add(class, '\f', '\r');
                set_add(class, ' ', ' ');
                break;
        default:
                return false;
        }
        if (letter != char_lower(letter))
                set_invert(class);
        for (size_t i = 0; i < sizeof class; i++)
                set[i] |= class[i];
        return true;
}

/* ---- parsing -------------------------------------------------------------------------------------------------- */

static bool at_end(const struct parser *p)
{
        return p->at >= p->pattern.len;
}

static char peek(const struct parser *p)
{
        return at_end(p) ? '\0' : p->pattern.ptr[p->at];
}

static bool take(struct parser *p, char c)
{
        if (at_end(p) || p->pattern.ptr[p->at] != c)
                return false;
        p->at++;
        return true;
}

/* Whether the character after a backslash stands for itself: punctuation. */
static bool is_escapable(char c)
{
        return c > ' ' && c < 0x7f && !char_is_alnum(c);
}

/* Parses a member of a class; *ret_is_class: it was a whole class, which was added already. */
static unsigned char read_member(struct parser *p, uint8_t *set, bool *ret_is_class)
{
        char c = peek(p);

        *ret_is_class = false;
        if (at_end(p)) {
                fail(p, "has a class without ]");
                return 0;
        }
        p->at++;
        if (c == '[' && peek(p) == ':')
                fail(p, "has a named class; write it out, as in [0-9]");
        if (c != '\\')
                return (unsigned char)c;
        c = peek(p);
        p->at++;
        *ret_is_class = set_add_class(set, c);
        if (!*ret_is_class && !is_escapable(c))
                fail(p, "has a backslash before a character that needs none");
        return (unsigned char)c;
}

static void read_class(struct parser *p)
{
        uint8_t set[SET_SIZE] = { 0 };
        bool is_inverted = take(p, '^'), is_first = true, is_class;

        for (; !at_end(p) && (is_first || peek(p) != ']'); is_first = false) {
                unsigned char first = read_member(p, set, &is_class), last = first;

                if (is_class)
                        continue;
                bool is_range = peek(p) == '-' && p->at + 1 < p->pattern.len && p->pattern.ptr[p->at + 1] != ']';
                if (is_range) {
                        p->at++;
                        last = read_member(p, set, &is_class);
                        if (is_class || last < first)
                                fail(p, "has a range that runs backwards");
                }
                set_add(set, first, last);
        }
        if (!take(p, ']'))
                fail(p, "has a class without ]");
        if (is_inverted)
                set_invert(set);
        emit_set(p, set);
}

static void read_alternatives(struct parser *p);

static void read_group(struct parser *p)
{
        if (take(p, '?') && !take(p, ':')) {
                fail(p, "has a (? that is not supported");
                return;
        }
        if (++p->depth > DEPTH_MAX) {
                fail(p, "has too many brackets in brackets");
                return;
        }
        read_alternatives(p);
        p->depth--;
        if (!take(p, ')'))
                fail(p, "has a ( without )");
}

static void read_escape(struct parser *p)
{
        uint8_t set[SET_SIZE] = { 0 };
        char c = peek(p);

        if (at_end(p)) {
                fail(p, "ends in a backslash");
                return;
        }
        p->at++;
        if (is_escapable(c))
                emit(p, (struct regex_step){ .what = STEP_BYTE, .arg = (uint8_t)c });
        else if (set_add_class(set, c))
                emit_set(p, set);
        else
                fail(p, "has a backslash sequence that is not supported");
}

static void read_atom(struct parser *p)
{
        static const uint8_t every_byte[SET_SIZE] = { [0 ... SET_SIZE - 1] = 0xff };
        char c = peek(p);

        if (++p->work > WORK_MAX) {
                fail(p, "is too large");
                return;
        }
        p->at++;
        if (c == '(')
                read_group(p);
        else if (c == '[')
                read_class(p);
        else if (c == '\\')
                read_escape(p);
        else if (c == '.')
                emit_set(p, every_byte);
        else if (c == '*' || c == '+' || c == '?' || c == '{')
                fail(p, "repeats nothing");
        else if (c == '^' || c == '$')
                fail(p, "has ^ or $ inside");
        else
                emit(p, (struct regex_step){ .what = STEP_BYTE, .arg = (uint8_t)c });
}

static int read_count(struct parser *p)
{
        int n = 0;

        if (!char_is_digit(peek(p)))
                fail(p, "has a { without numbers");
        for (; char_is_digit(peek(p)); p->at++)
                if ((n = n * 10 + (peek(p) - '0')) > REPEAT_MAX)
                        fail(p, "repeats too often");
        return n;
}

/* Parses the repetition of the previous atom; false: it has none. */
static bool read_quantifier(struct parser *p, int *ret_min, int *ret_max)
{
        *ret_min = 0;
        *ret_max = FOREVER;
        if (take(p, '+')) {
                *ret_min = 1;
        } else if (take(p, '?')) {
                *ret_max = 1;
        } else if (take(p, '{')) {
                *ret_min = read_count(p);
                *ret_max = !take(p, ',') ? *ret_min : peek(p) == '}' ? FOREVER : read_count(p);
                if (!take(p, '}') || (*ret_max != FOREVER && *ret_max < *ret_min))
                        fail(p, "has a { } that is no valid repetition");
        } else if (!take(p, '*')) {
                return false;
        }
        (void)take(p, '?');
        return true;
}

/* Copies the atom once more; returns its length. */
static int16_t repeat_atom(struct parser *p, size_t atom)
{
        size_t before = p->re->size, behind = p->at;

        p->at = atom;
        read_atom(p);
        p->at = p->wrong != NULL ? p->pattern.len : behind;
        return (int16_t)(p->re->size - before);
}

static void read_piece(struct parser *p)
{
        size_t atom = p->at, code = p->re->size;
        int16_t length = 0;
        int min, max;

        read_atom(p);
        if (!read_quantifier(p, &min, &max) || p->wrong != NULL)
                return;
        /* Discards the code of the atom and emits its copies; jumps within a copy are relative. */
        p->re->size = code;
        for (int i = 0; i < min && p->wrong == NULL; i++)
                length = repeat_atom(p, atom);
        for (int i = min; i < max && p->wrong == NULL; i++) {
                size_t start = p->re->size;

                length = repeat_atom(p, atom);
                insert(p, start, (struct regex_step){ .what = STEP_SPLIT, .next = 1, .other = (int16_t)(length + 1) });
        }
        if (max != FOREVER || p->wrong != NULL)
                return;
        if (min > 0) {
                emit(p, (struct regex_step){ .what = STEP_SPLIT, .next = (int16_t)-length, .other = 1 });
                return;
        }
        length = repeat_atom(p, atom);
        insert(p, code, (struct regex_step){ .what = STEP_SPLIT, .next = 1, .other = (int16_t)(length + 2) });
        emit(p, (struct regex_step){ .what = STEP_JUMP, .next = (int16_t)(-length - 1) });
}

static void read_sequence(struct parser *p)
{
        while (!at_end(p) && peek(p) != '|' && peek(p) != ')')
                read_piece(p);
}

static void read_alternatives(struct parser *p)
{
        size_t start = p->re->size;

        read_sequence(p);
        while (take(p, '|')) {
                int16_t left = (int16_t)(p->re->size - start);

                insert(p, start, (struct regex_step){ .what = STEP_SPLIT, .next = 1, .other = (int16_t)(left + 2) });
                size_t jump = p->re->size;
                emit(p, (struct regex_step){ .what = STEP_JUMP });
                read_sequence(p);
                if (p->wrong != NULL)
                        return;
                p->re->code[jump].next = (int16_t)(p->re->size - jump);
        }
}

struct error *regex_compile(struct str pattern, struct regex *ret)
{
        struct parser p = { .pattern = pattern, .re = ret };

        memset(ret, 0, sizeof *ret);
        if (pattern.len > REGEX_PATTERN_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a regular expression is longer than %d characters", REGEX_PATTERN_MAX);
        read_alternatives(&p);
        if (!at_end(&p))
                fail(&p, "has a ) without (");
        emit(&p, (struct regex_step){ .what = STEP_MATCH });
        if (p.wrong == NULL)
                return NULL;
        AUTO_MEM char *shown = escaped(pattern);
        return error_new(ERROR_INVALID_ARGUMENT, "the regular expression '%s' %s", shown, p.wrong);
}

/* ---- matching ------------------------------------------------------------------------------------------------- */

/* The set of reached states, without duplicates: `list`. */
struct states {
        uint16_t list[REGEX_CODE_MAX];
        size_t count;
        uint8_t is_in[(REGEX_CODE_MAX + 7) / 8];
};

static bool states_mark(struct states *s, size_t state)
{
        uint8_t bit = (uint8_t)(1u << (state % 8));

        if (s->is_in[state / 8] & bit)
                return false;
        s->is_in[state / 8] |= bit;
        s->list[s->count++] = (uint16_t)state;
        return true;
}

static void states_clear(struct states *s)
{
        s->count = 0;
        memset(s->is_in, 0, sizeof s->is_in);
}

/* Adds the states reachable without consuming a character: the list grows while it is walked. */
static void states_close(const struct regex *re, struct states *s)
{
        for (size_t i = 0; i < s->count; i++) {
                const struct regex_step *step = &re->code[s->list[i]];

                if (step->what == STEP_SPLIT || step->what == STEP_JUMP)
                        (void)states_mark(s, (size_t)(s->list[i] + step->next));
                if (step->what == STEP_SPLIT)
                        (void)states_mark(s, (size_t)(s->list[i] + step->other));
        }
}

static bool takes(const struct regex *re, const struct regex_step *step, uint8_t c)
{
        return (step->what == STEP_BYTE && step->arg == c) ||
               (step->what == STEP_SET && (re->sets[step->arg][c / 8] >> (c % 8) & 1) != 0);
}

bool regex_match(const struct regex *re, struct str text)
{
        struct states one = { .count = 0 }, two = { .count = 0 };
        struct states *now = &one, *then = &two;

        (void)states_mark(now, 0);
        states_close(re, now);
        for (size_t t = 0; t < text.len && now->count > 0; t++) {
                states_clear(then);
                for (size_t i = 0; i < now->count; i++)
                        if (takes(re, &re->code[now->list[i]], str_bytes(text)[t]))
                                (void)states_mark(then, (size_t)now->list[i] + 1);
                states_close(re, then);
                struct states *spare = now;
                now = then;
                then = spare;
        }
        for (size_t i = 0; i < now->count; i++)
                if (re->code[now->list[i]].what == STEP_MATCH)
                        return true;
        return false;
}
