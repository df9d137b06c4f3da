/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/ssh_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/text.h"
#include "os/file.h"

enum { LINES_MAX = 64 * KiB };

void ssh_files_release(struct ssh_files *f)
{
        secret_release(&f->host_key);
        free(f->host_cert);
        free(f->user_ca);
        free(f->authority);
        *f = (struct ssh_files){ 0 };
}

/* "type base64 comment": the type is at the beginning of the wire form (RFC 4253 section 6.6). */
static struct error *put_line(struct buf *out, struct str wire, const char *comment)
{
        struct reader r = reader_over(wire);
        struct str type = reader_ssh_string(&r, LIMIT_NAME);

        if (!reader_ok(&r))
                return error_new(ERROR_INVALID_ARGUMENT, "a key of the cluster has no type");
        buf_put(out, type);
        buf_put_char(out, ' ');
        base64_encode(out, wire);
        buf_printf(out, " %s\n", comment);
        return buf_finish(out, "the SSH keys of the cluster");
}

static struct error *put_authority(struct buf *out, const struct host_identity *id)
{
        buf_printf(out, "host %.*s\n", STR_ARG(id->host_id));
        for (size_t i = 0; i < id->certs.tls_ca_count; i++) {
                buf_put(out, STR("ca "));
                TRY(ca_pin_of_cert(id->certs.tls_ca_certs[i], out));
                buf_put_char(out, '\n');
        }
        return buf_finish(out, "the cluster that decides for sshd");
}

struct error *ssh_files_make(const struct host_identity *id, struct ssh_files *ret)
{
        AUTO(key) key = { 0 };
        AUTO(buf) cert = BUF_MAX(LINES_MAX);
        AUTO(buf) cas = BUF_MAX(LINES_MAX);
        AUTO(buf) authority = BUF_MAX(LINES_MAX);
        AUTO(ssh_files) made = { 0 };

        if (id->certs.ssh_user_ca_count == 0)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the cluster did not send the CA of its users' certificates"),
                                  "its Auth Service may be older than this host: update that first");
        TRY(key_from_pem(&key, secret_str(&id->ssh_key_pem)));
        TRY(key_to_openssh(&key, id->host_id, &made.host_key));
        TRY(put_line(&cert, id->certs.ssh_cert, "host"));
        for (size_t i = 0; i < id->certs.ssh_user_ca_count; i++)
                TRY(put_line(&cas, id->certs.ssh_user_ca_keys[i], "user-ca"));
        TRY(put_authority(&authority, id));
        made.authority = buf_take(&authority);
        made.host_cert = buf_take(&cert);
        made.user_ca = buf_take(&cas);
        *ret = made;
        made = (struct ssh_files){ 0 };
        return NULL;
}

static const struct ssh_file {
        const char *name;
        unsigned mode;
} rows[] = {
        { "user_ca.pub", 0644 }, { "authority", 0644 }, { "host_key", 0600 }, { "host_key-cert.pub", 0644 },
};

static struct str contents_of(const struct ssh_files *f, size_t i)
{
        const struct str all[] = { str_of(f->user_ca), str_of(f->authority), secret_str(&f->host_key), str_of(f->host_cert) };

        return all[i];
}

static bool is_same(const char *path, struct str bytes)
{
        struct buf there = BUF_MAX(LINES_MAX);

        (void)buf_extend(&there, LINES_MAX - 1); /* full size at once, so that the private key is never moved */
        buf_clear(&there);
        struct error *err = file_read(path, &there);
        bool same = err == NULL && str_equal(buf_str(&there), bytes);
        error_free(err);
        wipe(there.ptr, there.room);
        buf_release(&there);
        return same;
}

static bool are_there(const char *dir, const struct ssh_files *f)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *path = mem_printf("%s/%s", dir, rows[i].name);

                if (!is_same(path, contents_of(f, i)))
                        return false;
        }
        return true;
}

/* Removes the files of a directory, and the directory. What cannot be removed is overwritten by the next write. */
static void remove_files(const char *dir)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *path = mem_printf("%s/%s", dir, rows[i].name);

                unlink(path);
        }
        rmdir(dir);
}

/* An sshd that starts between two of them has a key without its certificate, which the client refuses. */
static struct error *replace_each(const char *fresh, const char *dir)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *from = mem_printf("%s/%s", fresh, rows[i].name);
                AUTO_MEM char *to = mem_printf("%s/%s", dir, rows[i].name);

                if (rename(from, to) < 0)
                        return error_errno(errno, "cannot replace the file %s", to);
        }
        rmdir(fresh);
        return dir_sync(dir);
}

/* An sshd that starts now may have opened the key and not yet its certificate: the former files stay for it. */
static void set_aside(const char *replaced, const char *dir)
{
        AUTO_MEM char *former = mem_printf("%s.former", dir);

        remove_files(former);
        if (rename(replaced, former) < 0)
                remove_files(replaced);
}

/* Puts the new directory in the place of the old one, in one step. */
static struct error *replace(const char *fresh, const char *dir)
{
        if (renameat2(AT_FDCWD, fresh, AT_FDCWD, dir, RENAME_EXCHANGE) == 0) {
                set_aside(fresh, dir);
                return NULL;
        }
        if (errno == EINVAL) /* a file system without this operation */
                return replace_each(fresh, dir);
        if (errno != ENOENT || rename(fresh, dir) < 0)
                return error_errno(errno, "cannot replace the directory %s", dir);
        return NULL;
}

struct error *ssh_files_write(const char *dir, const struct ssh_files *f)
{
        AUTO_MEM char *ssh = mem_printf("%s/ssh", dir);
        AUTO_MEM char *fresh = mem_printf("%s/ssh.new", dir);

        if (are_there(ssh, f))
                return NULL;
        TRY(dir_make(fresh, 0700));
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_MEM char *path = mem_printf("%s/%s", fresh, rows[i].name);

                TRY(file_write_atomic(path, contents_of(f, i), rows[i].mode));
        }
        TRY(replace(fresh, ssh));
        return dir_sync(dir);
}
