/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that only its owner may change the files of a profile. If others could write a file, or redirect a link, they could
 * choose its keys and CAs. The same applies to the directories above, in which others could replace the profile.
 */
#include <errno.h>
#include <limits.h>
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
                return error_hint(refused(shown, "is a symbolic link: an account that may change it can put other keys and CAs in its place"),
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
                                            kind == ENTRY_DIR ? "its files" : "it"),
                                  "chmod %s %s; and log in again if others use this machine", kind == ENTRY_DIR ? "0700" : "0600", shown);
        return NULL;
}

/* Missing files are reported by their readers. */
static struct error *check_entry(const char *path, enum entry_kind kind)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        struct stat st;

        if (lstat(path, &st) != 0)
                return errno == ENOENT || errno == ENOTDIR ? NULL : error_errno(errno, "cannot examine %s", shown);
        TRY(check_kind(shown, &st, kind));
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s belongs to user %u, which can change it", shown, st.st_uid),
                                  "%schown %u %s, or set TELEPORT_HOME to a directory of yours", geteuid() == 0 ? "" : "sudo ", geteuid(), shown);
        return check_mode(shown, &st, kind);
}

/* ---- the directories above ------------------------------------------------------------------------------------------ */

enum { LINKS_MAX = 40 }; /* the kernel's limit: path_resolution(7) */

/*
 * Whether the owner is root, or the owner of "/", who can replace programs and libraries too: as in a container, or in a user
 * namespace in which root has no user ID (user_namespaces(7)).
 */
static bool is_of_root(uid_t uid)
{
        struct stat st;

        return uid == 0 || (stat("/", &st) == 0 && st.st_uid == uid);
}

/*
 * Whether others could replace an entry of the directory. In a sticky directory they can replace their own entries only;
 * the owner of the entry is checked next. *ret_is_shared: others may create links there.
 */
static struct error *check_parent(const char *path, bool *ret_is_shared)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        struct stat st;

        *ret_is_shared = true;
        if (stat(path, &st) != 0)
                return errno == ENOENT || errno == ENOTDIR ? NULL : error_errno(errno, "cannot examine %s", shown);
        if (st.st_uid != geteuid() && !is_of_root(st.st_uid))
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s belongs to user %u, which can replace your profile", shown,
                                            st.st_uid),
                                  "set TELEPORT_HOME to a directory that only you and root can move");
        *ret_is_shared = (st.st_mode & (S_IWGRP | S_IWOTH)) != 0;
        if (*ret_is_shared && (st.st_mode & S_ISVTX) == 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s has mode %04o: other users could replace your profile", shown,
                                            st.st_mode & 07777),
                                  "chmod go-w %s, or set TELEPORT_HOME to a directory that only you and root can move; and log in again if others use this machine",
                                  shown);
        return NULL;
}

/*
 * Refuses a link of another owner in a directory that others may write, because they choose its target. *ret_len 0: not a link.
 */
static struct error *read_link(const char *path, bool is_shared, char target[PATH_MAX], size_t *ret_len)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        struct stat st;

        *ret_len = 0;
        if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
                return NULL;
        if (is_shared && st.st_uid != geteuid() && st.st_uid != 0)
                return error_hint(error_new(ERROR_PERMISSION_DENIED, "%s is a symbolic link of user %u, which can redirect it to another profile", shown,
                                            st.st_uid),
                                  "set TELEPORT_HOME to a directory that only you and root can move");
        ssize_t n = readlink(path, target, PATH_MAX);
        if (n <= 0 || n == PATH_MAX)
                return error_errno(n < 0 ? errno : ENAMETOOLONG, "cannot follow %s", shown);
        *ret_len = (size_t)n;
        return NULL;
}

/* Replaces an absolute path without "." and ".." by its parent; "" is the root. */
static void remove_last_component(struct buf *at)
{
        while (at->len > 0 && at->ptr[--at->len] != '/')
                continue;
}

/* Prepends a link's target to the rest of the path. */
static struct error *follow(struct buf *at, struct buf *rest, struct str target)
{
        AUTO_MEM char *behind = str_dup(buf_str(rest));

        buf_clear(rest);
        buf_put(rest, target);
        buf_printf(rest, "/%s", behind);
        remove_last_component(at);
        if (target.ptr[0] == '/')
                buf_clear(at);
        return buf_finish(rest, "the path of the profile");
}

/* Moves one component from the front of `rest` to the end of `at`. */
static struct error *step(struct buf *at, struct buf *rest, size_t *links)
{
        struct str after = buf_str(rest), name = str_split(&after, '/');
        AUTO_MEM char *component = str_dup(name);
        char target[PATH_MAX];
        bool is_shared = true;
        size_t len = 0;

        buf_consume(rest, rest->len - after.len);
        if (component[0] == '\0' || strcmp(component, ".") == 0)
                return NULL;
        if (strcmp(component, "..") == 0) {
                remove_last_component(at);
                return NULL;
        }
        TRY(check_parent(at->len == 0 ? "/" : buf_c(at), &is_shared));
        buf_printf(at, "/%s", component);
        TRY(buf_finish(at, "the path of the profile"));
        TRY(read_link(buf_c(at), is_shared, target, &len));
        if (len == 0)
                return NULL;
        if (++*links > LINKS_MAX)
                return error_errno(ELOOP, "cannot follow the path of the profile");
        return follow(at, rest, str_of_bytes(target, len));
}

/*
 * Walks the path as the kernel does (path_resolution(7)), through every link: in each directory of the path only the
 * user and root may be able to replace the next component.
 */
static struct error *check_way(const char *path)
{
        AUTO(buf) at = BUF_MAX(2 * PATH_MAX), rest = BUF_MAX(4 * PATH_MAX);
        char start[PATH_MAX] = "";
        size_t links = 0;

        if (path[0] != '/' && getcwd(start, sizeof start) == NULL)
                return error_errno(errno, "cannot find the current directory");
        buf_printf(&rest, "%s/%s", start, path);
        TRY(buf_finish(&rest, "the path of the profile"));
        while (rest.len > 0)
                TRY(step(&at, &rest, &links));
        return NULL;
}

/* ---- checks of the profile ---------------------------------------------------------------------------------------------- */

static struct error *check_top(const char *home)
{
        TRY(check_entry(home, ENTRY_DIR));
        return check_way(home);
}

struct error *profile_check_place(void)
{
        AUTO_PTR(arena) a = arena_new((size_t)4 * PATH_MAX);
        const char *home = NULL;

        TRY(profile_home(a, &home));
        return check_top(home);
}

struct error *profile_check_home(struct arena *a, const char *home, const char *proxy_host)
{
        struct stat st;

        if (lstat(home, &st) != 0 && errno == ENOENT) /* usual if HOME is another user's, which sudo may keep */
                return error_new(ERROR_NOT_FOUND, "there is no profile");
        TRY(check_top(home));
        TRY(check_entry(arena_printf(a, "%s/keys", home), ENTRY_DIR));
        TRY(check_entry(arena_printf(a, "%s/current-profile", home), ENTRY_FILE));
        TRY(check_entry(arena_printf(a, "%s/known_hosts", home), ENTRY_FILE));
        return proxy_host == NULL ? NULL : check_entry(profile_path(a, home, proxy_host), ENTRY_FILE);
}

struct error *profile_check_directories(const struct profile *p)
{
        const char *keys = arena_printf(p->arena, "%s/keys/%s", p->home, p->proxy_host);

        TRY(check_top(p->home));
        TRY(check_entry(arena_printf(p->arena, "%s/keys", p->home), ENTRY_DIR));
        TRY(check_entry(keys, ENTRY_DIR));
        TRY(check_entry(arena_printf(p->arena, "%s/cas", keys), ENTRY_DIR));
        TRY(check_entry(profile_app_directory(p), ENTRY_DIR));
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
