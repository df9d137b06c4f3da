/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the profile at a login and removes it at a logout.
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/client.h"
#include "client/mux.h"
#include "client/profile_internal.h"
#include "net/socket.h"
#include "os/file.h"
#include "pki/cert.h"

enum { STORE_ARENA = 512 * KiB, FILE_MAX = 256 * KiB };

/* ---- directories and files ----------------------------------------------------------------------------------- */

static struct error *write_buf(const char *path, struct buf *bytes)
{
        TRY(buf_finish(bytes, path));
        return file_write_atomic(path, buf_str(bytes), 0600);
}

static struct error *write_line(const char *path, struct str ssh_wire, const char *comment)
{
        AUTO(buf) line = BUF_MAX(FILE_MAX);

        TRY(ssh_wire_to_line(ssh_wire, &line));
        buf_printf(&line, " %s\n", comment);
        return write_buf(path, &line);
}

static struct error *make_directories(struct arena *a, const struct profile *p)
{
        TRY(dir_make(p->home, 0700));
        TRY(dir_make(arena_printf(a, "%s/keys", p->home), 0700));
        TRY(dir_make(arena_printf(a, "%s/keys/%s", p->home, p->proxy_host), 0700));
        TRY(dir_make(arena_printf(a, "%s/keys/%s/cas", p->home, p->proxy_host), 0700));
        return dir_make(arena_printf(a, "%s/keys/%s/%s-ssh", p->home, p->proxy_host, p->user), 0700);
}

static struct error *write_yaml(struct arena *a, const struct profile *p)
{
        AUTO(buf) text = BUF_MAX(FILE_MAX);
        const struct {
                const char *key, *value;
        } rows[] = {
                { "web_proxy_addr", p->web_addr }, { "ssh_proxy_addr", p->web_addr }, { "auth_type", "local" },
                { "user", p->user },               { "cluster", p->cluster },         { "siteName", p->cluster },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                buf_printf(&text, "%s: ", rows[i].key);
                json_put_string(&text, str_of(rows[i].value)); /* a JSON string is valid YAML */
                buf_put_char(&text, '\n');
        }
        buf_printf(&text, "tls_routing_enabled: true\ninsecure: %s\n", p->is_insecure ? "true" : "false");
        return write_buf(profile_path(a, p->home, p->proxy_host), &text);
}

/* ---- storing --------------------------------------------------------------------------------------------------- */

static struct error *write_certificates(struct arena *a, const struct profile *p, const struct profile_login *login)
{
        AUTO(buf) cert = BUF_MAX(FILE_MAX), cas = BUF_MAX(FILE_MAX);

        cert_der_to_pem(login->tls_cert, &cert);
        for (size_t i = 0; i < login->tls_ca_count; i++)
                cert_der_to_pem(login->tls_cas[i], &cas);
        TRY(write_buf(p->host_cas, &cas));
        TRY(write_buf(arena_printf(a, "%s/keys/%s/cas/%s.pem", p->home, p->proxy_host, p->cluster), &cas));
        TRY(write_buf(p->tls_cert, &cert));
        TRY(write_line(arena_printf(a, "%s.pub", p->ssh_key), login->ssh_public, p->user));
        return write_line(p->ssh_cert, login->ssh_cert, p->user);
}

struct error *profile_store(const struct profile_login *login)
{
        AUTO_PTR(arena) a = arena_new(STORE_ARENA);
        struct profile p = { .arena = a, .web_addr = login->web_addr, .user = login->user, .cluster = login->cluster,
                             .is_insecure = login->is_insecure };
        struct str host;
        int port;

        TRY(address_split(str_of(login->web_addr), -1, &host, &port));
        if (!profile_is_file_name(str_of(login->user)) || !profile_is_file_name(host))
                return error_new(ERROR_INVALID_ARGUMENT, "the names of user or proxy cannot be names of files");
        TRY(name_check_host(str_of(login->cluster), "cluster name"));
        TRY(profile_home(a, &p.home));
        TRY(profile_name_of(a, login->web_addr, &p.proxy_host));
        profile_set_paths(&p);

        TRY(profile_check_directories(&p));
        TRY(make_directories(a, &p));
        mux_end_all(p.home, p.web_addr, p.user, p.cluster); /* the new login does not use them */
        /* Keys first: certificates without their keys would look like a login. */
        TRY(file_write_atomic(p.ssh_key, secret_str(login->ssh_key), 0600));
        TRY(file_write_atomic(p.tls_key, secret_str(login->tls_key), 0600));
        TRY(write_certificates(a, &p, login));
        TRY(profile_write_ssh_cas(&p, login->ssh_cas, login->ssh_ca_count));
        TRY(write_yaml(a, &p));
        TRY(profile_write_known_hosts(p.home));
        return file_write_atomic(arena_printf(a, "%s/current-profile", p.home),
                                 str_of(arena_printf(a, "%s\n", p.proxy_host)), 0600);
}

/* ---- removing -------------------------------------------------------------------------------------------------- */

static struct error *remove_file(const char *path)
{
        if (unlink(path) == 0 || errno == ENOENT)
                return NULL;
        return error_errno(errno, "cannot remove %s", path);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
        (void)st, (void)type, (void)where;
        return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

static struct error *remove_tree(const char *path)
{
        enum { DESCRIPTORS = 8 };

        if (nftw(path, remove_entry, DESCRIPTORS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
                return error_errno(errno, "cannot remove %s", path);
        return NULL;
}

/* Another user of the same proxy may be logged in too, so only empty directories are removed. */
struct error *profile_remove(const struct profile *p)
{
        AUTO_PTR(arena) a = arena_new(STORE_ARENA);
        const char *keys = arena_printf(a, "%s/keys/%s", p->home, p->proxy_host);

        mux_end_all(p->home, p->web_addr, p->user, p->cluster);
        TRY(remove_file(p->ssh_key));
        TRY(remove_file(p->tls_key));
        TRY(remove_file(arena_printf(a, "%s.pub", p->ssh_key)));
        TRY(remove_file(p->tls_cert));
        TRY(remove_file(p->ssh_cert));
        TRY(remove_tree(profile_app_directory(p)));
        rmdir(arena_printf(a, "%s/%s-ssh", keys, p->user));
        TRY(remove_file(profile_path(a, p->home, p->proxy_host)));
        TRY(remove_file(p->host_cas));
        TRY(remove_file(p->known_hosts));
        TRY(remove_file(arena_printf(a, "%s/cas/%s.pem", keys, p->cluster)));
        rmdir(arena_printf(a, "%s/cas", keys));
        rmdir(keys);
        if (p->is_current)
                TRY(remove_file(arena_printf(a, "%s/current-profile", p->home)));
        return profile_write_known_hosts(p->home);
}

struct error *profile_remove_all(bool *ret_any)
{
        AUTO_PTR(arena) a = arena_new(STORE_ARENA);
        const char *home, **names = NULL;
        size_t count = 0;

        TRY(profile_home(a, &home));
        TRY(profile_names(a, &names, &count));
        mux_end_all(home, NULL, NULL, NULL);
        for (size_t i = 0; i < count; i++)
                TRY(remove_file(profile_path(a, home, names[i])));
        TRY(remove_file(arena_printf(a, "%s/current-profile", home)));
        TRY(remove_file(arena_printf(a, "%s/known_hosts", home)));
        const char *keys = arena_printf(a, "%s/keys", home);
        TRY(remove_tree(keys));
        *ret_any = count > 0;
        return NULL;
}
