/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may change the files of a profile: its owner alone. What others could write, or could lead elsewhere, holds
 * keys and CAs that they choose.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/profile_internal.h"

enum entry_kind { ENTRY_DIR, ENTRY_FILE, ENTRY_KEY };

static struct error *refused(const char *shown, const char *why)
{
        return error_new(ERROR_PERMISSION_DENIED, "%s %s", shown, why);
}

static struct error *check_kind(const char *shown, const struct stat *st, enum entry_kind kind)
{
        if (S_ISLNK(st->st_mode))
                return error_hint(refused(shown, "is a symbolic link: whoever may change it leads to other keys and CAs"),
                                  "remove it; a directory for profiles elsewhere is named by TELEPORT_HOME");
        if (kind == ENTRY_DIR ? !S_ISDIR(st->st_mode) : !S_ISREG(st->st_mode))
                return error_hint(refused(shown, kind == ENTRY_DIR ? "is not a directory" : "is not a regular file"), "remove it and log in again");
        if (kind != ENTRY_DIR && st->st_nlink > 1)
                return error_hint(refused(shown, "has another name elsewhere (a hard link)"), "remove it and log in again");
        return NULL;
}

static struct error *check_mode(const char *shown, const struct stat *st, enum entry_kind kind)
{
        unsigned mode = st->st_mode & 07777;

        if (kind == ENTRY_KEY && (mode & (S_IRWXG | S_IRWXO)) != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s has mode %04o: it holds a secret that other users may read or change", shown, mode),
                                  "chmod 0600 %s; and log in again if others use this machine", shown);
        if ((mode & (S_IWGRP | S_IWOTH)) != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s has mode %04o: other users may change %s", shown, mode,
                                            kind == ENTRY_DIR ? "what is in it" : "it"),
                                  "chmod %s %s; and log in again if others use this machine", kind == ENTRY_DIR ? "0700" : "0600", shown);
        return NULL;
}

/* What is not there is somebody else's concern. */
static struct error *check_entry(const char *path, enum entry_kind kind)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        struct stat st;

        if (lstat(path, &st) != 0)
                return errno == ENOENT || errno == ENOTDIR ? NULL : error_errno(errno, "cannot examine %s", shown);
        TRY(check_kind(shown, &st, kind));
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s belongs to user %u, who could change it", shown, st.st_uid),
                                  "%schown %u %s, or set TELEPORT_HOME to a directory of yours", geteuid() == 0 ? "" : "sudo ", geteuid(), shown);
        return check_mode(shown, &st, kind);
}

struct error *profile_check_home(struct arena *a, const char *home, const char *proxy_host)
{
        TRY(check_entry(home, ENTRY_DIR));
        TRY(check_entry(arena_printf(a, "%s/keys", home), ENTRY_DIR));
        TRY(check_entry(arena_printf(a, "%s/current-profile", home), ENTRY_FILE));
        TRY(check_entry(arena_printf(a, "%s/known_hosts", home), ENTRY_FILE));
        return proxy_host == NULL ? NULL : check_entry(profile_path(a, home, proxy_host), ENTRY_FILE);
}

struct error *profile_check_directories(const struct profile *p)
{
        const char *keys = arena_printf(p->arena, "%s/keys/%s", p->home, p->proxy_host);

        TRY(check_entry(p->home, ENTRY_DIR));
        TRY(check_entry(arena_printf(p->arena, "%s/keys", p->home), ENTRY_DIR));
        TRY(check_entry(keys, ENTRY_DIR));
        TRY(check_entry(arena_printf(p->arena, "%s/cas", keys), ENTRY_DIR));
        return check_entry(arena_printf(p->arena, "%s/%s-ssh", keys, p->user), ENTRY_DIR);
}

struct error *profile_check_cas(const struct profile *p)
{
        TRY(profile_check_directories(p));
        TRY(check_entry(p->host_cas, ENTRY_FILE));
        return check_entry(p->known_hosts, ENTRY_FILE);
}

struct error *profile_check_files(const struct profile *p)
{
        const struct {
                const char *path;
                enum entry_kind kind;
        } files[] = {
                { p->ssh_key, ENTRY_KEY },
                { p->tls_key, ENTRY_KEY },
                { p->ssh_cert, ENTRY_FILE },
                { p->tls_cert, ENTRY_FILE },
                { p->host_cas, ENTRY_FILE },
                { p->known_hosts, ENTRY_FILE },
                { arena_printf(p->arena, "%s.pub", p->ssh_key), ENTRY_FILE },
                { arena_printf(p->arena, "%s/keys/%s/cas/%s.pem", p->home, p->proxy_host, p->cluster), ENTRY_FILE },
        };

        TRY(profile_check_directories(p));
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
                TRY(check_entry(files[i].path, files[i].kind));
        return NULL;
}
