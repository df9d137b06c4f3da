/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines as rows: programs, commands and flags are constant tables; parsing and help are printed
 * from the same rows.
 *
 *   --flag=value  --flag value  -f value  -fvalue  -df (two switches)  --no-switch  --  help WORDS  --help
 *
 * Flags and arguments may be mixed. A command's flags stand behind its words, the program's anywhere.
 */
#ifndef CMD_COMMON_FLAGS_H
#define CMD_COMMON_FLAGS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct flags; /* what was given on one command line */

enum flag_kind {
        FLAG_SWITCH, /* no value; --no-name takes it back */
        FLAG_TEXT,   /* one value; the last one given counts */
        FLAG_LIST,   /* may be repeated; each value is cut at commas that stand outside of quotes */
};

/* A row of a flag table; the table ends with a row whose name is NULL. */
struct flag {
        const char *name; /* long form, without dashes */
        char letter;      /* short form, 0: none */
        enum flag_kind kind;
        const char *value;          /* what help calls the value: "FILE" */
        const char *fallback;       /* value when none is given, NULL: none (FLAG_TEXT) */
        const char *env;            /* environment variable used when the flag is not given, NULL: none */
        const char *const *choices; /* NULL-terminated permitted values, NULL: any */
        bool is_required;
        bool is_hidden; /* works, but help does not show it */
        bool is_whole;  /* FLAG_LIST: values are taken as they are, not cut at commas */
        const char *help;
};

/* A row of an argument table, in order; ends with a row whose name is NULL. */
struct argument {
        const char *name;
        bool is_required;
        bool is_repeated; /* takes all that is left; last row only */
        const char *help;
};

/* A row of a command table; ends with a row whose name is NULL. No name may begin another ("a" and "a b"). */
struct command {
        const char *name;           /* words, one blank between: "tokens add" */
        const char *const *aliases; /* NULL-terminated other names, NULL: none */
        const struct flag *flags;   /* NULL: none */
        const struct argument *arguments; /* NULL: none */
        struct error *(*run)(void *ctx, const struct flags *given);
        bool is_hidden;
        size_t free_after; /* behind so many arguments all words are arguments, dashes or not; 0: flags stand anywhere */
        const char *help;  /* one sentence, no full stop */
        const char *notes; /* more text for `help COMMAND`, lines as printed, NULL: none */
};

/* A flag that there is elsewhere and not here, and what to do instead; ends with a row whose name is NULL. */
struct foreign_flag {
        const char *name; /* long form, without dashes */
        char letter;      /* short form, 0: none */
        const char *instead;
};

/* Commands that there are elsewhere and not here, and why; ends with a row whose words are NULL. */
struct foreign_command {
        const char *words; /* first words of commands, or whole names of two, with ", " between: "db, proxy db" */
        const char *instead;
};

struct program {
        const char *name;
        const char *help;
        const struct foreign_flag *foreign;            /* NULL: none are known */
        const struct foreign_command *foreign_commands; /* NULL: none are known */
        const struct flag *flags; /* valid for every command, NULL: none */
        const struct command *commands;
};

/*
 * A whole main(): parses, prints help to stdout when asked, runs the command, prints its error to
 * stderr. Returns the exit code: 0, or 1 for misuse and failure.
 */
int flags_main(const struct program *program, void *ctx, int argc, char **argv);

/*
 * Parses a command line; argv is borrowed as long as *ret lives. INVALID_ARGUMENT with the nearest known
 * name as hint. When help was asked for, *ret_help holds its text instead and *ret stays NULL.
 */
struct error *flags_parse(const struct program *program, int argc, char **argv, struct flags **ret,
                          struct buf *ret_help) MUST_USE;
void flags_free(struct flags *f);
DEFINE_AUTO_PTR(flags);

/* Reads the value of a flag: "--ttl must be a duration like 1h30m, 10s or 500ms, not 'x'". */
struct error *flags_parse_duration(const char *flag, const char *text, struct duration *ret) MUST_USE;

/*
 * What was given, by the row's name (a name that no row of this command or program has is a bug). Texts
 * are borrowed from *f; NULL when neither flag, environment nor fallback gave one.
 */
bool flags_switch(const struct flags *f, const char *name);

/* How often a switch was given on the command line: `-tt` counts two. */
size_t flags_count(const struct flags *f, const char *name);
const char *flags_text(const struct flags *f, const char *name);
/* NULL-terminated, never NULL. */
const char *const *flags_list(const struct flags *f, const char *name);
/* Whether it stood on the command line itself. */
bool flags_given(const struct flags *f, const char *name);
/* The argument at the index among those given, NULL past the last. */
const char *flags_argument(const struct flags *f, size_t index);

const struct command *flags_command(const struct flags *f);

/* Help for the program (words ""), a group of commands ("tokens") or a command ("tokens add"). */
void flags_put_help(struct buf *out, const struct program *program, struct str words);

#endif
