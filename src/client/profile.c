/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the profile: user, proxy, cluster, and the expiry of the login.
 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/client.h"
#include "client/profile_internal.h"
#include "net/socket.h"
#include "os/file.h"
#include "pki/key.h"
#include "schema/node.h"

enum { PROFILE_ARENA = 256 * KiB, PROFILE_YAML_MAX = 16 * KiB, PROFILES_MAX = 1000, HOST_IN_NAME_MAX = 200 };

/* ---- names and paths ------------------------------------------------------------------------------------- */

bool profile_is_file_name(struct str s)
{
        if (s.len == 0 || s.len > LIMIT_NAME || s.ptr[0] == '.' || s.ptr[0] == '-')
                return false;
        for (size_t i = 0; i < s.len; i++)
                if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("/\\\"'`$%*?", s.ptr[i]) != NULL)
                        return false;
        return true;
}

/*
 * Paths of the profile are part of ssh's options and configuration, where a few characters cannot be
 * quoted.
 */
static struct error *check_home(const char *path)
{
        for (const char *at = path; *at != '\0'; at++)
                if ((unsigned char)*at < ' ' || *at == 0x7f || strchr("\"\\$%", *at) != NULL) {
                        AUTO_MEM char *shown = escaped(str_of(path));

                        return error_hint(error_new(ERROR_INVALID_ARGUMENT,
                                                    "the directory %s has a character in its name that a configuration of ssh cannot hold",
                                                    shown),
                                          "set TELEPORT_HOME to a directory without quotes, backslashes, dollars and percent signs");
                }
        return NULL;
}

struct error *profile_home(struct arena *a, const char **ret)
{
        const char *home = getenv("TELEPORT_HOME");
        const struct passwd *account;

        if (home != NULL && *home != '\0') {
                *ret = arena_printf(a, "%s", home);
        } else {
                home = getenv("HOME");
                if ((home == NULL || *home == '\0') && (account = getpwuid(getuid())) != NULL)
                        home = account->pw_dir;
                if (home == NULL || *home == '\0')
                        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "this user has no home directory"),
                                          "set TELEPORT_HOME to a directory for keys and certificates");
                *ret = arena_printf(a, "%s/.tsh", home);
        }
        if (**ret != '/') {
                AUTO_MEM char *here = getcwd(NULL, 0);

                if (here == NULL)
                        return error_errno(errno, "cannot find the current directory");
                *ret = arena_printf(a, "%s/%s", here, *ret);
        }
        /* With a slash at the end, a symbolic link stands for its target. */
        struct str path = str_of(*ret);
        while (path.len > 1 && str_ends_with(path, STR("/")))
                path = str_slice(path, 0, path.len - 1);
        *ret = str_to_c(a, path);
        return check_home(*ret);
}

const char *profile_path(struct arena *a, const char *home, const char *proxy_host)
{
        return arena_printf(a, "%s/%s.yaml", home, proxy_host);
}

const char *profile_app_directory(const struct profile *p)
{
        return arena_printf(p->arena, "%s/keys/%s/%s-app", p->home, p->proxy_host, p->user);
}

void profile_set_paths(struct profile *p)
{
        struct arena *a = p->arena;
        const char *keys = arena_printf(a, "%s/keys/%s", p->home, p->proxy_host);

        p->known_hosts = arena_printf(a, "%s/cas/known_hosts", keys);
        p->host_cas = arena_printf(a, "%s/certs.pem", keys);
        p->ssh_key = arena_printf(a, "%s/%s", keys, p->user);
        p->tls_key = arena_printf(a, "%s/%s.key", keys, p->user);
        p->tls_cert = arena_printf(a, "%s/%s-x509.pem", keys, p->user);
        p->ssh_cert = arena_printf(a, "%s/%s-ssh/%s-cert.pub", keys, p->user, p->cluster);
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

/* `proxy` is the value of --proxy, or NULL. */
static struct error *not_logged_in(const char *proxy)
{
        AUTO_MEM char *shown = escaped(proxy == NULL ? STR("HOST[:PORT]") : str_of(proxy));
        struct str host;
        int port;

        if (proxy != NULL)
                TRY(address_split(str_of(proxy), 0, &host, &port)); /* a login at it would be refused, too */
        return error_hint(error_new(ERROR_NOT_FOUND, "Not logged in."), "tsh login --proxy=%s --user=NAME", shown);
}

static struct error *current_profile(struct arena *a, const char *home, const char **ret)
{
        AUTO(buf) text = BUF_MAX(2 * LIMIT_NAME);

        TRY(file_read(arena_printf(a, "%s/current-profile", home), &text));
        struct str name = str_trim(buf_str(&text));
        if (!profile_is_file_name(name))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s/current-profile does not name a profile", home),
                                  "log in again, or remove the file");
        *ret = str_to_c(a, name);
        return NULL;
}

static struct error *read_text(struct arena *a, const struct node *root, const char *key, const char *file,
                               const char **ret)
{
        const struct node *n = node_member(root, str_of(key));
        const char *text = n == NULL || n->kind != NODE_SCALAR ? NULL : str_to_c(a, n->text);

        if (text == NULL || *text == '\0')
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s: %s is missing", file, key), "log in again");
        *ret = text;
        return NULL;
}

struct error *profile_read_yaml(struct profile *p)
{
        AUTO_PTR(arena) scratch = arena_new(NODE_ARENA_CAP);
        AUTO(buf) text = BUF_MAX(PROFILE_YAML_MAX);
        const char *file = profile_path(p->arena, p->home, p->proxy_host);
        struct node_item *documents = NULL;

        TRY(file_read(file, &text));
        TRY(node_parse(scratch, file, buf_str(&text), &documents));
        if (documents == NULL || documents->value->kind != NODE_MAPPING)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s is not a profile", file), "log in again");
        const struct node *root = documents->value;
        TRY(read_text(p->arena, root, "web_proxy_addr", file, &p->web_addr));
        TRY(read_text(p->arena, root, "user", file, &p->user));
        TRY(read_text(p->arena, root, "cluster", file, &p->cluster));
        const struct node *insecure = node_member(root, STR("insecure"));
        if (insecure != NULL && insecure->kind == NODE_SCALAR)
                text_as_bool(insecure->text, &p->is_insecure);
        if (!profile_is_file_name(str_of(p->user)) || !name_is_host(str_of(p->cluster)))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s names no user or no cluster", file), "log in again");
        return NULL;
}

/* The port of a profile's proxy; 0 if there is no such profile, or it cannot be read. */
static int port_of(struct arena *a, const char *home, const char *name)
{
        struct profile p = { .arena = a, .home = home, .proxy_host = name };
        struct str host;
        int port = 0;

        struct error *err = profile_read_yaml(&p);
        if (err == NULL)
                err = address_split(str_of(p.web_addr), 0, &host, &port);
        error_free(err);
        return port;
}

/* The host in the name of a file: file names are shorter than the longest DNS names, so a long one is cut, with a digest of the whole. */
static const char *host_in_name(struct arena *a, struct str host)
{
        AUTO(buf) hex = BUF_MAX(64);
        uint8_t digest[32];

        if (host.len <= HOST_IN_NAME_MAX)
                return str_to_c(a, host);
        sha256(host, digest);
        hex_encode(&hex, str_of_bytes(digest, 8));
        return arena_printf(a, "%.*s-%s", HOST_IN_NAME_MAX, host.ptr, buf_c(&hex));
}

struct error *profile_name_of(struct arena *a, const char *web_addr, const char **ret)
{
        const char *home = NULL;
        struct str host;
        int port;

        TRY(address_split(str_of(web_addr), 0, &host, &port));
        TRY(profile_home(a, &home));
        const char *alone = host_in_name(a, host), *with_port = arena_printf(a, "%s:%d", alone, port);
        int taken = port_of(a, home, alone);
        bool is_alone = port == 0 || (port_of(a, home, with_port) == 0 && (taken == 0 || taken == port));
        *ret = is_alone ? alone : with_port;
        return NULL;
}

/* Chooses the profile of `proxy`, the value of --proxy, or the current profile if that is NULL. */
static struct error *choose(struct profile *p, const char *proxy)
{
        const char *current = NULL;

        TRY(profile_check_home(p->arena, p->home, NULL));
        struct error *err = current_profile(p->arena, p->home, &current);
        if (proxy == NULL && err != NULL)
                return err;
        error_free(err);
        if (proxy != NULL)
                TRY(profile_name_of(p->arena, proxy, &p->proxy_host));
        else
                p->proxy_host = current;
        p->is_current = current != NULL && strcmp(current, p->proxy_host) == 0;
        return profile_check_home(p->arena, p->home, p->proxy_host);
}

static struct error *find(struct profile *p, const char *proxy, const char *user)
{
        TRY(profile_home(p->arena, &p->home));
        TRY(choose(p, proxy));
        TRY(profile_read_yaml(p));
        if (user != NULL && !profile_is_file_name(str_of(user)))
                return error_new(ERROR_INVALID_ARGUMENT, "--user is not the name of a user");
        if (user != NULL)
                p->user = arena_printf(p->arena, "%s", user);
        profile_set_paths(p);
        TRY(profile_check_files(p));
        return profile_migrate(p);
}

static struct error *found(struct profile *p, const char *proxy, struct error *err)
{
        if (err == NULL)
                return NULL;
        profile_release(p);
        if (err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        return not_logged_in(proxy);
}

struct error *profile_find(struct profile *p, const char *proxy, const char *user)
{
        *p = (struct profile){ .arena = arena_new(PROFILE_ARENA) };
        return found(p, proxy, find(p, proxy, user));
}

struct error *profile_load(struct profile *p, const char *proxy, const char *user)
{
        TRY(profile_find(p, proxy, user));
        return found(p, proxy, profile_read_certificates(p));
}

void profile_release(struct profile *p)
{
        arena_free(p->arena);
        *p = (struct profile){ 0 };
}

struct error *profile_check_times(const struct profile *p, struct walltime now)
{
        if (now.ns < p->not_after.ns)
                return NULL;
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "Active profile expired."), "tsh login --proxy=%s --user=%s",
                          p->web_addr, p->user);
}

struct error *profile_tls_key(const struct profile *p, struct secret *ret)
{
        AUTO(buf) pem = BUF_MAX(16 * KiB);

        struct error *err = file_read_private(p->tls_key, &pem);
        if (err == NULL)
                *ret = secret_of(buf_str(&pem));
        wipe(pem.ptr, pem.len);
        return err;
}

/* ---- all of them ------------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct error *profile_names(struct arena *a, const char ***ret, size_t *ret_count)
{
        const char *home;
        const char **names = arena_alloc(a, PROFILES_MAX * sizeof *names);
        size_t count = 0;

        TRY(profile_home(a, &home));
        DIR *dir = opendir(home);
        if (dir == NULL && errno != ENOENT)
                return error_errno(errno, "cannot open %s", home);
        const struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL && count < PROFILES_MAX) {
                struct str name = str_of(entry->d_name);
                const struct str suffix = STR(".yaml");

                if (!str_ends_with(name, suffix) || !profile_is_file_name(name))
                        continue;
                names[count++] = str_to_c(a, str_slice(name, 0, name.len - suffix.len));
        }
        if (dir != NULL)
                closedir(dir);
        qsort(names, count, sizeof *names, compare_names);
        *ret = names;
        *ret_count = count;
        return NULL;
}
