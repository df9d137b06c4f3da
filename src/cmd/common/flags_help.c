/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/flags.h"

#include "cmd/common/flags_internal.h"

enum { NAME_COLUMN_MAX = 34 }; /* longer names get a line of their own */

/* "-f, --format=text": one row's left column. */
static void put_flag_name(struct buf *out, const struct flag *row)
{
        if (row->letter != 0)
                buf_printf(out, "-%c, ", row->letter);
        else
                buf_put_c(out, "    ");
        buf_printf(out, "--%s", row->name);
        if (row->kind != FLAG_SWITCH)
                buf_printf(out, "=%s", row->value == NULL ? "TEXT" : row->value);
}

static void put_two_columns(struct buf *out, struct str left, size_t width, const char *right)
{
        buf_printf(out, "  %.*s", STR_ARG(left));
        if (left.len > width)
                buf_printf(out, "\n  %*s", (int)width, "");
        else
                buf_printf(out, "%*s", (int)(width - left.len), "");
        buf_printf(out, "  %s", right);
}

static size_t column_width(size_t longest)
{
        return longest < NAME_COLUMN_MAX ? longest : NAME_COLUMN_MAX;
}

static void put_flags(struct buf *out, const char *title, const struct flag *rows)
{
        AUTO(buf) name = BUF_MAX(1 * KiB);
        size_t longest = 0;
        bool is_first = true;

        for (const struct flag *row = rows; row != NULL && row->name != NULL; row++) {
                buf_clear(&name);
                put_flag_name(&name, row);
                if (!row->is_hidden && name.len > longest)
                        longest = name.len;
        }
        for (const struct flag *row = rows; row != NULL && row->name != NULL; row++) {
                if (row->is_hidden)
                        continue;
                if (is_first)
                        buf_printf(out, "\n%s:\n", title);
                is_first = false;
                buf_clear(&name);
                put_flag_name(&name, row);
                put_two_columns(out, buf_str(&name), column_width(longest), row->help);
                for (size_t i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
                        buf_printf(out, "%s%s", i == 0 ? " (" : ", ", row->choices[i]);
                if (row->choices != NULL)
                        buf_put_c(out, ")");
                if (row->fallback != NULL)
                        buf_printf(out, " [%s]", row->fallback);
                if (row->env != NULL)
                        buf_printf(out, " [env %s]", row->env);
                if (row->is_required)
                        buf_put_c(out, " (required)");
                buf_put_c(out, "\n");
        }
}

static void put_command_help(struct buf *out, const struct program *program, const struct command *c)
{
        size_t longest = 0;

        buf_printf(out, "Usage: %s %s [<flags>]", program->name, c->name);
        for (const struct argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
                buf_printf(out, a->is_required ? " <%s%s>" : " [<%s%s>]", a->name, a->is_repeated ? "..." : "");
                longest = strlen(a->name) > longest ? strlen(a->name) : longest;
        }
        buf_printf(out, "\n\n%s.\n", c->help);
        put_flags(out, "Flags", c->flags);
        if (c->arguments != NULL)
                buf_put_c(out, "\nArguments:\n");
        for (const struct argument *a = c->arguments; a != NULL && a->name != NULL; a++) {
                put_two_columns(out, str_of(a->name), column_width(longest), a->help);
                buf_put_c(out, "\n");
        }
        put_flags(out, "Flags of every command", program->flags);
        if (c->notes != NULL)
                buf_printf(out, "\n%s", c->notes);
}

static bool is_in_group(const struct command *c, struct str words)
{
        return !c->is_hidden && (words.len == 0 || (str_starts_with(str_of(c->name), words) && c->name[words.len] == ' '));
}

static void put_group_help(struct buf *out, const struct program *program, struct str words)
{
        size_t longest = 0;

        buf_printf(out, "Usage: %s [<flags>] %.*s%s<command> [<args> ...]\n\n%s.\n", program->name, STR_ARG(words),
                   words.len > 0 ? " " : "", program->help);
        put_flags(out, "Flags", program->flags);
        for (const struct command *c = program->commands; c->name != NULL; c++)
                if (is_in_group(c, words) && strlen(c->name) > longest)
                        longest = strlen(c->name);
        buf_put_c(out, "\nCommands:\n");
        for (const struct command *c = program->commands; c->name != NULL; c++) {
                if (!is_in_group(c, words))
                        continue;
                put_two_columns(out, str_of(c->name), column_width(longest), c->help);
                buf_put_c(out, "\n");
        }
        buf_printf(out, "\nMore about one of them: %s help <command>\n", program->name);
}

void flags_put_help(struct buf *out, const struct program *program, struct str words)
{
        const struct command *c = program_find(program, words);

        if (c != NULL)
                put_command_help(out, program, c);
        else
                put_group_help(out, program, words);
}
