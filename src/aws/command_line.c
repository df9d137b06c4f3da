/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/command_line.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

void command_words_free(char **words)
{
        for (char **word = words; word != NULL && *word != NULL; word++)
                free(*word);
        free(words);
}

/* Copies one word; *at is its start, and then its end. False if a quote is not closed. */
static bool take_word(struct str line, size_t *at, struct buf *word)
{
        char quote = '\0';

        for (; *at < line.len; (*at)++) {
                char c = line.ptr[*at];
                char next = *at + 1 < line.len ? line.ptr[*at + 1] : '\0';

                if (quote == '\0' && strchr(" \t\r\n", c) != NULL)
                        return true;
                if (c == quote) {
                        quote = '\0';
                } else if (quote == '\0' && (c == '\'' || c == '"')) {
                        quote = c;
                } else if (c == '\\' && quote != '\'' && *at + 1 < line.len &&
                           (quote == '\0' || next == '"' || next == '\\')) {
                        /* POSIX 2.2.1 and 2.2.3: inside double quotes a backslash escapes only special characters. */
                        buf_put_char(word, next);
                        (*at)++;
                } else if (c == '\\' && quote == '\0') {
                        return false; /* a backslash at the end */
                } else {
                        buf_put_char(word, c);
                }
        }
        return quote == '\0';
}

struct error *command_words(struct str line, char ***ret)
{
        char **words = mem_array(COMMAND_WORDS_MAX + 1, sizeof *words);
        size_t count = 0;
        struct error *err = NULL;

        if (str_find_char(line, '\0') < line.len)
                err = error_new(ERROR_INVALID_ARGUMENT, "the command holds a NUL");
        for (size_t at = 0; err == NULL; at++) {
                AUTO(buf) word = BUF_MAX(64 * KiB);

                while (at < line.len && strchr(" \t\r\n", line.ptr[at]) != NULL)
                        at++;
                if (at >= line.len)
                        break;
                if (count == COMMAND_WORDS_MAX)
                        err = error_new(ERROR_INVALID_ARGUMENT, "the command has more than %d arguments", COMMAND_WORDS_MAX);
                else if (!take_word(line, &at, &word))
                        err = error_new(ERROR_INVALID_ARGUMENT, "a quote or backslash in the command is not closed");
                else if ((err = buf_finish(&word, "an argument of the command")) == NULL)
                        words[count++] = str_dup(buf_str(&word));
        }
        if (err == NULL && count == 0)
                err = error_new(ERROR_INVALID_ARGUMENT, "the command is empty");
        if (err != NULL)
                command_words_free(words);
        else
                *ret = words;
        return err;
}
