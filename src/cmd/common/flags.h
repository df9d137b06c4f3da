/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines as tables: programs, commands and flags are constant rows, used for both parsing and
 * help.
 *
 *   --flag=value  --flag value  -f value  -fvalue  -df (two switches)  --no-switch  --  help WORDS  --help
 *
 * Flags and arguments may be mixed. A command's flags follow its words, those of the program may be anywhere.
 */
#ifndef CMD_COMMON_FLAGS_H
#define CMD_COMMON_FLAGS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct flags; /* the parsed command line */

enum flag_kind {
        FLAG_SWITCH, /* no value; --no-name resets it */
        FLAG_TEXT,   /* one value; the last one given counts */
        FLAG_LIST,   /* may be repeated; each value is split at commas outside of quotes */
};

/* A row of a flag table; the table ends with a row whose name is NULL. */
struct flag {
        const char *name; /* long form, without dashes */
        char letter;      /* short form, 0: none */
        enum flag_kind kind;
        const char *value;          /* name of the value in the help: "FILE" */
        const char *fallback;       /* default value, NULL: none (FLAG_TEXT) */
        const char *env;            /* environment variable used when the flag is not given, NULL: none */
        const char *const *choices; /* NULL-terminated permitted values, NULL: any */
        bool is_required;
        bool is_hidden; /* accepted, but not in the help */
        bool is_whole;  /* FLAG_LIST: values are not split at commas */
        const char *help;
};

/* A row of an argument table, in order; ends with a row whose name is NULL. */
struct argument {
        const char *name;
        bool is_required;
        bool is_repeated; /* takes all remaining words; last row only */
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
        size_t free_after; /* after this number of arguments all words are arguments, with or without dashes; 0: flags may be anywhere */
        const char *help;  /* one sentence, no full stop */
        const char *notes; /* further text of `help COMMAND`, printed unchanged, NULL: none */
};

/* A flag of Teleport that does not exist here, and the alternative; ends with a row whose name is NULL. */
struct foreign_flag {
        const char *name; /* long form, without dashes */
        char letter;      /* short form, 0: none */
        const char *instead;
};

/* Commands of Teleport that do not exist here, and the reason; ends with a row whose words are NULL. */
struct foreign_command {
        const char *words; /* first words of commands, or whole names of two, with ", " between: "db, proxy db" */
        const char *instead;
};

struct program {
        const char *name;
        const char *help;
        const struct foreign_flag *foreign;            /* NULL: none */
        const struct foreign_command *foreign_commands; /* NULL: none */
        const struct flag *flags; /* valid for every command, NULL: none */
        const struct command *commands;
};

/*
 * The main function of a program: parses, prints help to stdout on request, runs the command, prints its error to
 * stderr. Returns the exit code: 0, or 1 for misuse and failure.
 */
int flags_main(const struct program *program, void *ctx, int argc, char **argv);

/*
 * Parses a command line; argv is borrowed as long as *ret lives. INVALID_ARGUMENT with the nearest known
 * name as hint. When help was requested, *ret_help holds its text instead and *ret stays NULL.
 */
struct error *flags_parse(const struct program *program, int argc, char **argv, struct flags **ret,
                          struct buf *ret_help) MUST_USE;
void flags_free(struct flags *f);
DEFINE_AUTO_PTR(flags);

/* Reads the value of a flag: "--ttl must be a duration like 1h30m, 10s or 500ms, not 'x'". */
struct error *flags_parse_duration(const char *flag, const char *text, struct duration *ret) MUST_USE;

/*
 * The value of a flag, by the row's name (an unknown name is a bug). Texts
 * are borrowed from *f; NULL when neither flag, environment nor fallback gave one.
 */
bool flags_switch(const struct flags *f, const char *name);

/* The number of times that a switch is on the command line: two for `-tt`. */
size_t flags_count(const struct flags *f, const char *name);
const char *flags_text(const struct flags *f, const char *name);
/* NULL-terminated, never NULL. */
const char *const *flags_list(const struct flags *f, const char *name);
/* Whether it is on the command line itself. */
bool flags_given(const struct flags *f, const char *name);
/* The argument at the index among those given, NULL past the last. */
const char *flags_argument(const struct flags *f, size_t index);

const struct command *flags_command(const struct flags *f);

/* Help for the program (words ""), a group of commands ("tokens") or a command ("tokens add"). */
void flags_put_help(struct buf *out, const struct program *program, struct str words);

#endif
