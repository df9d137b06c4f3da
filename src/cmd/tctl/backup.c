/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tctl backup: everything that makes a cluster, in one encrypted file, while it runs. docs/protocols/backup.md
 *
 *      age_writer ◀─ archive_writer ◀─┬─ database: from the Auth Service, as it was at one moment
 *           │                         └─ CA, configuration …: files of this machine, read here
 *           ▼
 *      a file without a name, which gets its name when it is complete and on the disk
 *
 * The files are read by this process, which runs as root: no service of the cluster gives the keys of the CA to another one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit_names.h"
#include "backup/archive.h"
#include "backup/tree.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/config_find.h"
#include "cmd/common/passphrase.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"
#include "os/file.h"
#include "resource/config.h"

const struct flag backup_flags[] = {
        { "recipient", .letter = 'r', .kind = FLAG_LIST, .value = "KEY", .help = "Public key of age (age1…) for which to encrypt; may be repeated" },
        { "passphrase-file", .kind = FLAG_TEXT, .value = "FILE", .help = "File whose first line is the passphrase; without it and a key, a prompt" },
        { "recordings", .kind = FLAG_SWITCH, .help = "Also the recordings of sessions" },
        { "audit-log", .kind = FLAG_SWITCH, .help = "Also the audit log, with its rotated files" },
        { NULL },
};

const struct argument backup_arguments[] = {
        { "file", .is_required = true, .help = "The file to write, which must not exist; - for standard output" },
        { NULL },
};

/* ---- the file ------------------------------------------------------------------------------------------ */

struct output {
        const char *path; /* NULL: standard output */
        char *dir, *temporary; /* temporary NULL: the file has no name yet */
        int fd;
        uint64_t size;
};

static void output_release(struct output *o)
{
        if (o->temporary != NULL)
                unlink(o->temporary);
        if (o->fd > STDERR_FILENO)
                close(o->fd);
        free(o->dir);
        free(o->temporary);
}

static struct error *exists_already(const char *path)
{
        AUTO_MEM char *shown = path_shown(path);

        return error_hint(error_new(ERROR_ALREADY_EXISTS, "%s exists already", shown), "a backup is never overwritten; name another file");
}

static struct error *output_open(struct output *o, const char *path)
{
        AUTO_MEM char *shown = path_shown(path);
        const char *slash = strrchr(path, '/');

        *o = (struct output){ .fd = STDOUT_FILENO };
        if (strcmp(path, "-") == 0)
                return isatty(STDOUT_FILENO) ? error_hint(error_new(ERROR_INVALID_ARGUMENT, "a backup is not written to a terminal"),
                                                          "name a file, or let another program read it: tctl backup - | …")
                                             : NULL;
        o->path = path;
        o->dir = slash == NULL ? str_dup(STR(".")) : str_dup(str_slice(str_of(path), 0, slash == path ? 1 : (size_t)(slash - path)));
        o->fd = -1;
        if (access(path, F_OK) == 0)
                return exists_already(path);
        o->fd = open(o->dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (o->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) && access(o->dir, F_OK) == 0) {
                o->temporary = mem_printf("%s.part", path); /* a file system without unnamed files */
                o->fd = open(o->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        }
        return o->fd < 0 ? error_errno(errno, "cannot write %s", shown) : NULL;
}

static struct error *output_write(void *ctx, struct str bytes)
{
        struct output *o = ctx;

        o->size += bytes.len;
        if (fd_write_all(o->fd, bytes))
                return NULL;
        int errnum = errno;
        AUTO_MEM char *shown = path_shown(o->path == NULL ? "standard output" : o->path);
        return error_errno(errnum, "cannot write %s", shown);
}

/* Never replaces a file. NFS and some file systems in user space have no such rename, and give a file a second name instead. */
static int rename_new(const char *from, const char *to)
{
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -1;
        return link(from, to) < 0 ? -1 : unlink(from);
}

/* Gives the file its name when it is on the disk: there is never an incomplete backup under that name. */
static struct error *output_publish(struct output *o)
{
        AUTO_MEM char *self = mem_printf("/proc/self/fd/%d", o->fd);

        if (o->path == NULL)
                return NULL;
        AUTO_MEM char *shown = path_shown(o->path);
        if (fsync(o->fd) < 0)
                return error_errno(errno, "cannot bring %s to the disk", shown);
        int code = o->temporary == NULL ? linkat(AT_FDCWD, self, AT_FDCWD, o->path, AT_SYMLINK_FOLLOW)
                                        : rename_new(o->temporary, o->path);
        if (code < 0 && errno == EEXIST)
                return exists_already(o->path);
        if (code < 0)
                return error_errno(errno, "cannot name the backup %s", shown);
        free(o->temporary);
        o->temporary = NULL;
        return dir_sync(o->dir);
}

/* ---- recipients ---------------------------------------------------------------------------------------- */

struct recipients {
        uint8_t keys[LIMIT_AGE_STANZAS][AGE_KEY_SIZE];
        size_t count;
        struct secret passphrase;
};

static struct error *recipients_read(const struct flags *given, struct recipients *ret)
{
        const char *const *texts = flags_list(given, "recipient");
        const char *file = flags_text(given, "passphrase-file");

        if (texts[0] != NULL && file != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "--recipient and --passphrase-file exclude each other");
        for (; texts[ret->count] != NULL; ret->count++) {
                if (ret->count == LIMIT_AGE_STANZAS)
                        return error_new(ERROR_INVALID_ARGUMENT, "a backup has at most %d recipients", LIMIT_AGE_STANZAS);
                TRY(age_recipient_parse(str_of(texts[ret->count]), ret->keys[ret->count]));
        }
        return ret->count > 0 ? NULL : passphrase_read(file, true, &ret->passphrase);
}

static struct age_recipients recipients_of(const struct recipients *r)
{
        return (struct age_recipients){ .keys = r->keys, .key_count = r->count, .passphrase = secret_str(&r->passphrase) };
}

/* ---- the content --------------------------------------------------------------------------------------- */

struct backup {
        struct session *session;
        const struct flags *given;
        const char *data_dir, *config_path; /* config_path NULL: there is no file */
        const Cteleport__V1__BackupPart *store; /* the first answer */
        struct archive_writer *to;
        uint64_t files;
        int64_t now;
};

static struct error *request_part(struct backup *b, uint64_t id, uint64_t offset, const Cteleport__V1__BackupPart **ret)
{
        Cteleport__V1__BackupRequest request = CTELEPORT__V1__BACKUP_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        request.id = id;
        request.offset = offset;
        TRY(session_request(b->session, "Backup", &request.base, &cteleport__v1__backup_part__descriptor, &answer));
        *ret = (const Cteleport__V1__BackupPart *)answer;
        return NULL;
}

static struct error *put_manifest(struct backup *b)
{
        AUTO(buf) text = BUF_MAX(4 * KiB);

        buf_printf(&text, "{\"format\":%d,\"version\":\"" CTELEPORT_VERSION "\",\"cluster\":", ARCHIVE_FORMAT);
        json_put_string(&text, str_of(b->store->cluster));
        buf_put_c(&text, ",\"created\":\"");
        walltime_put_rfc3339(&text, walltime_of_unix(b->now));
        buf_printf(&text, "\",\"store\":{\"format\":%u,\"revision\":%llu,\"bytes\":%llu},\"audit_log\":%s,\"recordings\":%s}\n", b->store->format,
                   (unsigned long long)b->store->revision, (unsigned long long)b->store->size,
                   flags_switch(b->given, "audit-log") ? "true" : "false", flags_switch(b->given, "recordings") ? "true" : "false");
        TRY(buf_finish(&text, ARCHIVE_MANIFEST));
        return archive_put_file(b->to, ARCHIVE_MANIFEST, buf_str(&text), b->now);
}

static struct error *put_database(struct backup *b)
{
        struct tar_entry entry = { .name = ARCHIVE_DATABASE, .size = b->store->size, .modified = b->now, .mode = 0600 };
        const uint64_t id = b->store->id, size = b->store->size;

        TRY(archive_begin(b->to, &entry));
        b->store = NULL; /* freed with each answer */
        for (uint64_t offset = 0; offset < size;) {
                const Cteleport__V1__BackupPart *part;

                TRY(request_part(b, id, offset, &part));
                if (part->data.len == 0 || part->data.len > size - offset)
                        return error_new(ERROR_INTERNAL, "the Auth Service sends %zu bytes of its store where %llu are left", part->data.len,
                                         (unsigned long long)(size - offset));
                TRY(archive_put(b->to, str_of_bytes(part->data.data, part->data.len)));
                offset += part->data.len;
                api_client_forget(&b->session->api_client);
        }
        b->files++;
        return NULL;
}

/* Files of the data directory that are not below a directory of their own. */
static const char *const single[] = { "host_uuid", "webproxy_cert.pem", "webproxy_key.pem" };

static bool is_key_or_certificate(const char *name)
{
        return !str_starts_with(str_of(name), STR("issued.log")) && strcmp(name, "in-use") != 0;
}

/* A symbolic link is followed: root has named the file, which is in no service's directory. It may have several names. */
static struct error *put_config(struct backup *b)
{
        AUTO_MEM char *path = realpath(b->config_path, NULL);
        bool exists = false;
        struct error *err = path == NULL ? NULL : tree_write_file(path, ARCHIVE_CONFIG, b->to, &exists);

        if (err != NULL && err->code != ERROR_FAILED_PRECONDITION)
                return err;
        error_free(err);
        b->files += exists;
        if (!exists) {
                AUTO_MEM char *shown = path_shown(b->config_path);

                fprintf(stderr, "WARNING: %s is no plain file, or has several names (hard links), and is not in the backup\n", shown);
        }
        return NULL;
}

static struct error *put_single(struct backup *b)
{
        bool exists;

        for (size_t i = 0; i < ARRAY_LEN(single); i++) {
                AUTO_MEM char *path = mem_printf("%s/%s", b->data_dir, single[i]);

                TRY(tree_write_file(path, single[i], b->to, &exists));
                b->files += exists;
        }
        return b->config_path == NULL ? NULL : put_config(b);
}

/* A file that is being compressed is in the backup uncompressed. */
static bool is_complete_log(const char *name)
{
        return strcmp(name, AUDIT_PACKING_NAME) != 0;
}

static struct error *put_logs(struct backup *b)
{
        AUTO_MEM char *log_dir = mem_printf("%s/log", b->data_dir);
        const struct tree log = { .dir = log_dir, .prefix = "log", .last = "events.log", .wants = is_complete_log }, records = { .dir = log_dir, .inner = "records", .prefix = "log/records" };

        if (flags_switch(b->given, "audit-log"))
                TRY(tree_write(&log, b->to, &b->files));
        return flags_switch(b->given, "recordings") ? tree_write(&records, b->to, &b->files) : NULL;
}

/* The CA is read after the store; if it was changed since the store was copied, the two may not belong together. */
static struct error *put_all(struct backup *b)
{
        AUTO_MEM char *ca_dir = mem_printf("%s/ca", b->data_dir);
        AUTO_MEM char *acme_dir = mem_printf("%s/acme", b->data_dir);
        const struct tree keys = { .dir = ca_dir, .prefix = "ca", .wants = is_key_or_certificate }, ca = { .dir = ca_dir, .prefix = "ca" };
        const struct tree acme = { .dir = acme_dir, .prefix = "acme", .depth = 1 };
        uint8_t before[32], after[32];

        TRY(tree_digest(&keys, before));
        TRY(request_part(b, 0, 0, &b->store));
        TRY(put_manifest(b));
        TRY(put_database(b));
        TRY(tree_write(&ca, b->to, &b->files));
        TRY(tree_digest(&keys, after));
        if (memcmp(before, after, sizeof before) != 0)
                return error_hint(error_new(ERROR_ABORTED, "the CA was changed during the backup"), "try again");
        TRY(tree_write(&acme, b->to, &b->files));
        TRY(put_single(b));
        TRY(put_logs(b));
        return archive_writer_finish(b->to);
}

/* ---- the command --------------------------------------------------------------------------------------- */

static struct error *write_backup(struct backup *b, const struct recipients *recipients, struct output *out)
{
        AUTO_PTR(age_writer) file = NULL;

        TRY(age_writer_new(recipients_of(recipients), (struct age_sink){ output_write, out }, &file));
        AUTO_PTR(archive_writer) archive = archive_writer_new(file);
        b->to = archive;
        TRY(put_all(b));
        TRY(age_writer_finish(file));
        return output_publish(out);
}

/* Another machine's data directory cannot be read, whatever the roles of the user are. */
static struct error *check_is_local(const struct session *s, const char *data_dir)
{
        if (!session_is_local(s))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "a backup is made on the machine of the Auth Service, as root"),
                                  "it has the keys of the CA, which no role gives to a user");
        AUTO_MEM char *ca_dir = mem_printf("%s/ca", data_dir);
        AUTO_FD int fd = open(ca_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                return NULL;
        return error_hint(error_errno(errno, "cannot read %s", ca_dir), "run tctl on the machine of the Auth Service, as root");
}

struct error *backup_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(output) out = { .fd = -1 };
        struct recipients recipients = { .count = 0 };
        Cteleport__V1__Config *config = NULL;
        struct backup b = { .session = &s, .given = given, .now = walltime_unix(clock_wall(clock_system())) };

        (void)ctx;
        TRY(session_open(&s, given));
        const char *data_dir = s.config->teleport->data_dir;
        b.data_dir = data_dir != NULL && data_dir[0] != '\0' ? data_dir : CONFIG_DATA_DIR;
        TRY(check_is_local(&s, b.data_dir));
        TRY(config_file_find(s.arena, given, &b.config_path, NULL, &config));
        TRY(output_open(&out, flags_argument(given, 0)));
        struct error *err = recipients_read(given, &recipients);
        if (err == NULL)
                err = write_backup(&b, &recipients, &out);
        secret_release(&recipients.passphrase);
        if (err != NULL)
                return err;
        if (out.path != NULL)
                printf("%s has been written: %llu files, %llu bytes\n", out.path, (unsigned long long)b.files, (unsigned long long)out.size);
        return NULL;
}
