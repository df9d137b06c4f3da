/* SPDX-License-Identifier: Apache-2.0 */
/* teleport restore: a backup of `tctl backup` becomes the state of this machine's Auth Service. */
#include "backup/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/passphrase.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/data_dirs.h"
#include "os/file.h"

const struct flag restore_flags[] = {
        DATA_DIRS_FLAGS,
        { "identity", .letter = 'i', .kind = FLAG_TEXT, .value = "FILE", .help = "Secret key of age for which the backup is encrypted" },
        { "passphrase-file", .kind = FLAG_TEXT, .value = "FILE", .help = "File whose first line is the passphrase; without it and a key, a prompt" },
        { "ca-pin", .kind = FLAG_TEXT, .value = "PIN", .help = "Pin that the CA of the backup must have" },
        { 0 },
};

const struct argument restore_arguments[] = {
        { "file", .is_required = true, .help = "The backup; - for standard input" },
        { 0 },
};

static struct error *read_file(void *ctx, char *to, size_t most, size_t *ret)
{
        ssize_t n;

        do
                n = read(*(const int *)ctx, to, most);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return error_errno(errno, "cannot read the backup");
        *ret = (size_t)n;
        return NULL;
}

/* The file of the key, or a passphrase. */
static struct error *read_identity(const char *path, uint8_t ret[AGE_KEY_SIZE])
{
        AUTO(buf) text = BUF_MAX(64 * KiB);
        struct error *err = file_read(path, &text);

        if (err == NULL) {
                err = age_identity_find(buf_str(&text), ret);
                wipe(text.ptr, text.room);
                if (err != NULL)
                        err = error_wrap(err, "%s", path);
        }
        return err;
}

static struct error *open_backup(const char *path, int *ret)
{
        AUTO_MEM char *shown = path_shown(path);

        *ret = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return *ret < 0 ? error_errno(errno, "cannot open %s", shown) : NULL;
}

static void print_result(const struct restored *r, const struct data_dirs *dirs)
{
        printf("Cluster %.*s has been restored into %s: %llu files, %llu records\n", STR_ARG(buf_str(&r->check.cluster)), dirs->data_dir,
               (unsigned long long)r->files, (unsigned long long)r->check.store.items);
        printf("CA pin: %.*s\n", STR_ARG(buf_str(&r->check.pin)));
        if (r->has_config)
                printf("The configuration of the backup is in %s/" RESTORE_CONFIG "; it was not put in place\n", dirs->data_dir);
        printf("Before you start teleport here, make sure that the former Auth Service does not run any more\n");
}

static struct error *restore_backup(const struct flags *given, const struct data_dirs *dirs, struct age_unlock unlock)
{
        AUTO(restored) result = { 0 };
        AUTO_FD int fd = -1;

        TRY(open_backup(flags_argument(given, 0), &fd));
        TRY(restore_run(
                &(struct restore_options){
                        .data_dir = dirs->data_dir,
                        .store = dirs->store,
                        .unlock = unlock,
                        .source = { read_file, &fd },
                        .pin = flags_text(given, "ca-pin"),
                },
                &result));
        print_result(&result, dirs);
        return NULL;
}

struct error *restore_command(void *ctx, const struct flags *given)
{
        AUTO_PTR(arena) arena = arena_new(4 * MiB);
        AUTO(secret) passphrase = { 0 };
        const char *key_file = flags_text(given, "identity");
        uint8_t identity[AGE_KEY_SIZE];
        struct data_dirs dirs;

        (void)ctx;
        TRY(data_dirs_find(given, arena, &dirs));
        if (key_file != NULL && flags_text(given, "passphrase-file") != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "--identity and --passphrase-file exclude each other");
        if (key_file != NULL)
                TRY(read_identity(key_file, identity));
        else
                TRY(passphrase_read(flags_text(given, "passphrase-file"), false, &passphrase));
        struct error *err = restore_backup(
                given, &dirs, (struct age_unlock){ .identity = key_file == NULL ? NULL : identity, .passphrase = secret_str(&passphrase) });
        wipe(identity, sizeof identity);
        return err;
}
