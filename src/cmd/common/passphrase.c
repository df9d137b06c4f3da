/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/passphrase.h"

#include "base/buf.h"
#include "cmd/common/prompt.h"
#include "os/file.h"

enum { FILE_MAX = 4 * KiB };

static struct error *read_file(const char *path, struct secret *ret)
{
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        struct error *err = file_read_input(path, &text);

        if (err == NULL) {
                struct str rest = buf_str(&text);
                struct str line = str_split(&rest, '\n');

                if (line.len > 0 && line.ptr[line.len - 1] == '\r')
                        line.len--;
                *ret = secret_of(line);
        }
        wipe(text.ptr, text.room);
        return err;
}

static struct error *prompt(bool is_new, struct secret *ret)
{
        AUTO(secret) again = { 0 };

        struct error *err = prompt_secret("Passphrase of the backup: ", ret);

        if (err != NULL)
                return error_hint(error_wrap(err, "there is no passphrase"), "without a terminal use --passphrase-file=FILE, or a key: %s",
                                  is_new ? "--recipient=age1…, made by age-keygen" : "--identity=FILE");
        if (!is_new)
                return NULL;
        TRY(prompt_secret("The same again: ", &again));
        if (!secret_equal(secret_str(ret), secret_str(&again)))
                return error_new(ERROR_INVALID_ARGUMENT, "the two passphrases differ");
        return NULL;
}

struct error *passphrase_read(const char *path, bool is_new, struct secret *ret)
{
        AUTO(secret) read = { 0 };

        if (path != NULL)
                TRY(read_file(path, &read));
        else
                TRY(prompt(is_new, &read));
        if (read.len == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the passphrase is empty");
        if (is_new && read.len < PASSPHRASE_MIN)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the passphrase has fewer than %d characters", PASSPHRASE_MIN),
                                  "passphrases can be tried on the file without a limit; a key pair needs none: age-keygen");
        *ret = read;
        read = (struct secret){ 0 };
        return NULL;
}
