/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/flags.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/flags_internal.h"
#include "os/file.h"

enum { NEAR = 2 }; /* words with more edits than this are not similar */

/* The value of one flag. */
struct flag_value {
        const struct flag *row;
        const char *text;   /* FLAG_TEXT */
        const char **items; /* FLAG_LIST, NULL-terminated */
        size_t item_count;
        bool is_on;    /* FLAG_SWITCH */
        size_t count;  /* FLAG_SWITCH: times it was given on the command line */
        bool is_given; /* on the command line, not by the environment */
};

struct flags {
        struct arena *arena;
        const struct program *program;
        const struct command *command;
        struct flag_value *values; /* of the command's rows, then of the program's */
        size_t value_count;
        const char **arguments; /* NULL-terminated */
        size_t argument_count;
};

/* The state of a parse. */
struct parser {
        struct flags *f;
        char **rest;       /* NULL-terminated: the words that are not parsed yet */
        struct buf *words; /* words of the command's name so far */
        bool flags_ended;  /* by "--" */
        bool help_word;    /* `help WORDS` */
        bool help_flag;    /* --help */
};

static const char *const no_items[] = { NULL };

/* ---- commands ----------------------------------------------------------------------------------- */

const struct command *program_find(const struct program *program, struct str words)
{
        for (const struct command *c = program->commands; c->name != NULL; c++) {
                if (str_equal(words, str_of(c->name)))
                        return c;
                for (size_t i = 0; c->aliases != NULL && c->aliases[i] != NULL; i++)
                        if (str_equal(words, str_of(c->aliases[i])))
                                return c;
        }
        return NULL;
}

static bool begins_name(const char *name, struct str words)
{
        return words.len > 0 && str_starts_with(str_of(name), words) && name[words.len] == ' ';
}

bool program_has_group(const struct program *program, struct str words)
{
        for (const struct command *c = program->commands; c->name != NULL; c++) {
                if (begins_name(c->name, words))
                        return true;
                for (size_t i = 0; c->aliases != NULL && c->aliases[i] != NULL; i++)
                        if (begins_name(c->aliases[i], words))
                                return true;
        }
        return false;
}

static const char *nearest_command(const struct program *program, struct str words)
{
        struct nearest nearest = nearest_to(words, NEAR);

        for (const struct command *c = program->commands; c->name != NULL; c++) {
                if (c->is_hidden)
                        continue;
                nearest_offer(&nearest, c->name);
                for (size_t i = 0; c->aliases != NULL && c->aliases[i] != NULL; i++)
                        nearest_offer(&nearest, c->aliases[i]);
        }
        return nearest.word;
}

/* The nearest first word of two-word commands: "nodes" for "nodse", with any second word. In the arena. */
static const char *nearest_group(const struct program *program, struct str words, struct arena *a)
{
        struct nearest nearest = nearest_to(words, NEAR);

        for (const struct command *c = program->commands; c->name != NULL; c++) {
                struct str name = str_of(c->name), first = str_split(&name, ' ');

                if (!c->is_hidden && !str_is_empty(name))
                        nearest_offer(&nearest, str_to_c(a, first));
        }
        return nearest.word;
}

static const struct foreign_command *find_foreign_command(const struct program *program, struct str words)
{
        struct str first = words;

        first = str_split(&first, ' ');
        for (const struct foreign_command *row = program->foreign_commands; row != NULL && row->words != NULL; row++) {
                struct str rest = str_of(row->words);

                while (!str_is_empty(rest)) {
                        struct str one = str_trim(str_split(&rest, ','));

                        if (str_equal(one, words) || str_equal(one, first))
                                return row;
                }
        }
        return NULL;
}

static struct error *unknown_command(const struct program *program, struct str words)
{
        const struct foreign_command *foreign = find_foreign_command(program, words);
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        const char *nearest = nearest_command(program, words);
        AUTO_MEM char *shown = escaped(words);
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "unknown command '%s'", shown);

        if (foreign != NULL) {
                error_free(err);
                return error_hint(error_new(ERROR_UNIMPLEMENTED, "'%s %s' is a command of Teleport that this release does not have",
                                            program->name, shown),
                                  "%s; the commands are listed by: %s help", foreign->instead, program->name);
        }
        if (nearest == NULL)
                nearest = nearest_group(program, words, a);
        if (nearest != NULL)
                return error_hint(err, "did you mean: %s %s", program->name, nearest);
        return error_hint(err, "the commands are listed by: %s help", program->name);
}

/* Room for the values of the program's flags, and, once it is known, of the command's before them. */
static void set_rows(struct flags *f)
{
        const struct flag *tables[] = { f->command == NULL ? NULL : f->command->flags, f->program->flags };
        struct flag_value *old = f->values;
        size_t old_count = f->value_count, count = 0;

        for (size_t t = 0; t < ARRAY_LEN(tables); t++)
                for (const struct flag *row = tables[t]; row != NULL && row->name != NULL; row++)
                        count++;
        f->values = arena_alloc(f->arena, count * sizeof *f->values);
        f->value_count = 0;
        for (size_t t = 0; t < ARRAY_LEN(tables); t++)
                for (const struct flag *row = tables[t]; row != NULL && row->name != NULL; row++)
                        f->values[f->value_count++].row = row;
        for (size_t i = 0; i < old_count; i++)
                f->values[count - old_count + i] = old[i];
}

/* Consumes one word; true while it belongs to the command's name. */
static struct error *take_word(struct parser *p, const char *word)
{
        if (p->words->len == 0 && strcmp(word, "help") == 0 && !p->help_word) {
                p->help_word = true;
                return NULL;
        }
        if (p->words->len > 0)
                buf_put_char(p->words, ' ');
        buf_put_c(p->words, word);
        TRY(buf_finish(p->words, "the command's name"));
        p->f->command = program_find(p->f->program, buf_str(p->words));
        if (p->f->command != NULL)
                set_rows(p->f);
        else if (!program_has_group(p->f->program, buf_str(p->words)))
                return unknown_command(p->f->program, buf_str(p->words));
        return NULL;
}

static struct error *take_argument(struct parser *p, const char *word)
{
        const struct argument *row = p->f->command->arguments;

        for (size_t i = 0; row != NULL && row->name != NULL && !row->is_repeated && i < p->f->argument_count; i++)
                row++;
        if (row == NULL || row->name == NULL) {
                AUTO_MEM char *shown = escaped(str_of(word));

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' takes no argument '%s'",
                                            p->f->command->name, shown),
                                  "see: %s help %s", p->f->program->name, p->f->command->name);
        }
        p->f->arguments[p->f->argument_count++] = word;
        if (p->f->argument_count == p->f->command->free_after)
                p->flags_ended = true;
        return NULL;
}

/* ---- flags -------------------------------------------------------------------------------------- */

static const struct foreign_flag *find_foreign(const struct program *program, struct str name)
{
        for (const struct foreign_flag *row = program->foreign; row != NULL && row->name != NULL; row++)
                if (str_equal(name, str_of(row->name)) || (name.len == 1 && row->letter == name.ptr[0]))
                        return row;
        return NULL;
}

static struct error *unknown_flag(const struct parser *p, struct str name)
{
        const struct foreign_flag *foreign = find_foreign(p->f->program, name);
        struct nearest nearest = nearest_to(name, NEAR);
        AUTO_MEM char *shown = escaped(name);

        if (foreign != NULL)
                return error_hint(error_new(ERROR_UNIMPLEMENTED, "--%s is not supported", foreign->name), "%s", foreign->instead);
        for (size_t i = 0; i < p->f->value_count; i++)
                if (!p->f->values[i].row->is_hidden)
                        nearest_offer(&nearest, p->f->values[i].row->name);
        struct error *err = error_new(ERROR_INVALID_ARGUMENT, "unknown flag '%s%s'", name.len > 1 ? "--" : "-", shown);
        if (nearest.word != NULL)
                return error_hint(err, "did you mean: --%s", nearest.word);
        if (p->f->command == NULL)
                return error_hint(err, "give the flags of a command after its name: %s COMMAND --FLAG", p->f->program->name);
        return error_hint(err, "see: %s help %s", p->f->program->name, p->f->command->name);
}

static struct flag_value *find_long(const struct parser *p, struct str name)
{
        for (size_t i = 0; i < p->f->value_count; i++)
                if (str_equal(name, str_of(p->f->values[i].row->name)))
                        return &p->f->values[i];
        return NULL;
}

static struct flag_value *find_letter(const struct parser *p, char letter)
{
        for (size_t i = 0; i < p->f->value_count; i++)
                if (p->f->values[i].row->letter == letter)
                        return &p->f->values[i];
        return NULL;
}

static bool is_choice(const struct flag *row, struct str text)
{
        for (size_t i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
                if (str_equal(text, str_of(row->choices[i])))
                        return true;
        return row->choices == NULL;
}

static struct error *check_choice(const struct flag *row, const char *text)
{
        AUTO(buf) choices = BUF_MAX(1 * KiB);
        AUTO_MEM char *shown = escaped(str_of(text));

        if (is_choice(row, str_of(text)))
                return NULL;
        for (size_t i = 0; row->choices[i] != NULL; i++)
                buf_printf(&choices, "%s%s", i == 0 ? "" : ", ", row->choices[i]);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--%s cannot be '%s'", row->name, shown),
                          "use one of: %s", buf_c(&choices));
}

static struct error *add_item(struct flags *f, struct flag_value *v, struct str item)
{
        const char **items = arena_alloc(f->arena, (v->item_count + 2) * sizeof *items);
        const char *text = str_to_c(f->arena, v->row->is_whole ? item : str_trim(item));

        if (v->item_count > 0)
                memcpy(items, v->items, v->item_count * sizeof *items);
        v->items = items;
        if (*text == '\0')
                return NULL;
        TRY(check_choice(v->row, text));
        v->items[v->item_count++] = text;
        return NULL;
}

/* Splits a list at the commas outside of quotes; quotes are kept for the parser of the items. */
static struct error *add_list(struct flags *f, struct flag_value *v, const char *text)
{
        const char *start = text;
        char quote = 0;

        for (const char *at = text;; at++) {
                if (*at == '\0' || (*at == ',' && quote == 0)) {
                        TRY(add_item(f, v, str_of_bytes(start, (size_t)(at - start))));
                        start = at + 1;
                }
                if (*at == '\0')
                        return NULL;
                if (quote == 0 && (*at == '"' || *at == '\''))
                        quote = *at;
                else if (*at == quote)
                        quote = 0;
        }
}

static struct error *set_value(struct flags *f, struct flag_value *v, const char *text)
{
        if (v->row->kind == FLAG_LIST)
                return v->row->is_whole ? add_item(f, v, str_of(text)) : add_list(f, v, text);
        TRY(check_choice(v->row, text));
        v->text = text;
        return NULL;
}

static struct error *set_switch(struct flag_value *v, const char *text)
{
        static const char *const on[] = { "true", "yes", "on", "1" };
        static const char *const off[] = { "false", "no", "off", "0", "" };
        AUTO_MEM char *shown = escaped(str_of(text));

        for (size_t i = 0; i < ARRAY_LEN(on); i++)
                if (str_equal_nocase(str_of(text), str_of(on[i]))) {
                        v->is_on = true;
                        return NULL;
                }
        for (size_t i = 0; i < ARRAY_LEN(off); i++)
                if (str_equal_nocase(str_of(text), str_of(off[i]))) {
                        v->is_on = false;
                        return NULL;
                }
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--%s cannot be '%s'", v->row->name, shown),
                          "use true or false");
}

/* The value of a flag: the rest of its own word, else the next word. */
static struct error *value_of(struct parser *p, const struct flag *row, const char *inside, const char **ret)
{
        if (inside != NULL)
                *ret = inside;
        else if (*p->rest != NULL)
                *ret = *p->rest++;
        else
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--%s needs a value (%s)", row->name,
                                            row->value == NULL ? "text" : row->value),
                                  "write --%s=%s", row->name, row->value == NULL ? "TEXT" : row->value);
        return NULL;
}

static struct error *take_long(struct parser *p, const char *word)
{
        struct str name = str_of(word + 2);
        const char *equals = strchr(word, '=');
        const char *text = NULL;

        if (equals != NULL)
                name.len = (size_t)(equals - name.ptr);
        if (str_equal(name, STR("help"))) {
                p->help_flag = true;
                return NULL;
        }
        struct flag_value *v = find_long(p, name);
        bool is_negated = false;
        if (v == NULL && str_starts_with(name, STR("no-"))) {
                v = find_long(p, str_slice(name, 3, name.len));
                is_negated = true;
        }
        if (v == NULL || (is_negated && (v->row->kind != FLAG_SWITCH || equals != NULL)))
                return unknown_flag(p, name);
        v->is_given = true;
        v->count++;
        if (v->row->kind == FLAG_SWITCH)
                return set_switch(v, equals != NULL ? equals + 1 : is_negated ? "false" : "true");
        TRY(value_of(p, v->row, equals == NULL ? NULL : equals + 1, &text));
        return set_value(p->f, v, text);
}

/* "-f FILE", "-fFILE", "-f=FILE", and switches in one word: "-df FILE". */
static struct error *take_letters(struct parser *p, const char *word)
{
        for (const char *at = word + 1; *at != '\0'; at++) {
                struct flag_value *v = find_letter(p, *at);
                const char *text = NULL;

                if (*at == 'h' && v == NULL) {
                        p->help_flag = true;
                        return NULL;
                }
                if (v == NULL)
                        return unknown_flag(p, str_of_bytes(at, 1));
                v->is_given = true;
                if (v->row->kind == FLAG_SWITCH) {
                        v->is_on = true;
                        v->count++;
                        continue;
                }
                TRY(value_of(p, v->row, at[1] == '\0' ? NULL : at[1] == '=' ? at + 2 : at + 1, &text));
                return set_value(p->f, v, text);
        }
        return NULL;
}

/* ---- the whole line ------------------------------------------------------------------------------ */

static struct error *take(struct parser *p, const char *word)
{
        bool is_flag = !p->flags_ended && word[0] == '-' && word[1] != '\0'; /* a lone "-" is standard input */

        if (is_flag && strcmp(word, "--") == 0) {
                p->flags_ended = true;
                return NULL;
        }
        if (is_flag)
                return word[1] == '-' ? take_long(p, word) : take_letters(p, word);
        if (p->f->command == NULL)
                return take_word(p, word);
        return take_argument(p, word);
}

static struct error *take_environment(struct flags *f, struct flag_value *v)
{
        const char *text = v->row->env == NULL ? NULL : getenv(v->row->env);
        struct error *err;

        if (v->is_given || text == NULL || *text == '\0')
                return NULL;
        err = v->row->kind == FLAG_SWITCH ? set_switch(v, text) : set_value(f, v, text);
        return err == NULL ? NULL : error_wrap(err, "environment variable %s", v->row->env);
}

static struct error *finish(struct flags *f)
{
        size_t count = 0;

        for (size_t i = 0; i < f->value_count; i++) {
                struct flag_value *v = &f->values[i];

                TRY(take_environment(f, v));
                if (v->row->kind == FLAG_TEXT && v->text == NULL)
                        v->text = v->row->fallback;
                if (v->row->is_required && v->text == NULL && v->item_count == 0)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--%s is missing", v->row->name),
                                          "see: %s help %s", f->program->name, f->command->name);
        }
        for (const struct argument *row = f->command->arguments; row != NULL && row->name != NULL; row++, count++)
                if (row->is_required && count >= f->argument_count)
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the argument <%s> is missing", row->name),
                                          "see: %s help %s", f->program->name, f->command->name);
        return NULL;
}

static struct error *incomplete_command(const struct parser *p)
{
        const char *program = p->f->program->name;

        if (p->words->len == 0)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "a command is missing"),
                                  "the commands are listed by: %s help", program);
        AUTO_MEM char *words = str_dup(buf_str(p->words));
        AUTO(buf) list = BUF_MAX(4 * KiB);
        for (const struct command *c = p->f->program->commands; c->name != NULL; c++)
                if (!c->is_hidden && begins_name(c->name, buf_str(p->words)))
                        buf_printf(&list, "%s%s %s", list.len == 0 ? "" : ", ", program, c->name);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' needs a subcommand", words), "use one of: %s", buf_c(&list));
}

struct error *flags_parse(const struct program *program, int argc, char **argv, struct flags **ret,
                          struct buf *ret_help)
{
        AUTO_PTR(flags) f = NEW(struct flags);
        AUTO(buf) words = BUF_MAX(LIMIT_NAME);
        struct parser p = { .f = f, .rest = argv + (argc > 0 ? 1 : 0), .words = &words };
        struct error *err = NULL;

        f->program = program;
        f->arena = arena_new(16 * MiB); /* the kernel's own limit on a command line is smaller */
        f->arguments = arena_alloc(f->arena, ((size_t)argc + 1) * sizeof *f->arguments);
        set_rows(f);
        *ret = NULL;
        while (err == NULL && *p.rest != NULL)
                err = take(&p, *p.rest++);
        if (err == NULL && (p.help_word || p.help_flag)) {
                flags_put_help(ret_help, program, f->command != NULL ? str_of(f->command->name) : buf_str(&words));
                return NULL;
        }
        TRY(err);
        if (f->command == NULL)
                return incomplete_command(&p);
        TRY(finish(f));
        *ret = f;
        f = NULL;
        return NULL;
}

struct error *flags_parse_duration(const char *flag, const char *text, struct duration *ret)
{
        AUTO_MEM char *shown = escaped(str_of(text));
        AUTO_PTR(error) err = duration_parse(str_of(text), ret);

        return err == NULL ? NULL : error_new(ERROR_INVALID_ARGUMENT, "--%s must be a duration like 1h30m, 10s or 500ms, not '%s'", flag, shown);
}

int flags_main(const struct program *program, void *ctx, int argc, char **argv)
{
        AUTO_PTR(flags) f = NULL;
        AUTO(buf) help = BUF_MAX(256 * KiB);
        file_open_standard();
        signal(SIGCHLD, SIG_DFL); /* a parent may ignore it, which would suppress the exit statuses of our children */
        struct error *err = flags_parse(program, argc, argv, &f, &help);

        if (err == NULL && f == NULL)
                fputs(buf_c(&help), stdout);
        else if (err == NULL)
                err = flags_command(f)->run(ctx, f);
        if (err == NULL && fflush(stdout) != 0)
                err = error_errno(errno, "cannot write the output");
        if (err == NULL)
                return 0;
        error_print(err);
        error_free(err);
        return 1;
}

void flags_free(struct flags *f)
{
        if (f == NULL)
                return;
        arena_free(f->arena);
        free(f);
}

/* ---- values of flags ----------------------------------------------------------------------------- */

static const struct flag_value *value_named(const struct flags *f, const char *name, enum flag_kind kind)
{
        for (size_t i = 0; i < f->value_count; i++)
                if (strcmp(f->values[i].row->name, name) == 0 && f->values[i].row->kind == kind)
                        return &f->values[i];
        bug("command '%s' has no such flag of that kind: --%s", f->command->name, name);
}

bool flags_switch(const struct flags *f, const char *name)
{
        return value_named(f, name, FLAG_SWITCH)->is_on;
}

size_t flags_count(const struct flags *f, const char *name)
{
        return value_named(f, name, FLAG_SWITCH)->count;
}

const char *flags_text(const struct flags *f, const char *name)
{
        return value_named(f, name, FLAG_TEXT)->text;
}

const char *const *flags_list(const struct flags *f, const char *name)
{
        const struct flag_value *v = value_named(f, name, FLAG_LIST);

        return v->items == NULL ? no_items : v->items;
}

bool flags_given(const struct flags *f, const char *name)
{
        for (size_t i = 0; i < f->value_count; i++)
                if (strcmp(f->values[i].row->name, name) == 0)
                        return f->values[i].is_given;
        bug("command '%s' has no such flag: --%s", f->command->name, name);
}

const char *flags_argument(const struct flags *f, size_t index)
{
        return index < f->argument_count ? f->arguments[index] : NULL;
}

const struct command *flags_command(const struct flags *f)
{
        return f->command;
}
