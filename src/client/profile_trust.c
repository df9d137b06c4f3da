/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CAs that a profile trusts. Each profile has its own files, so that no other profile adds to them. <home>/known_hosts is
 * made from all of them for other programs, and no command of ours reads it.
 */
#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/profile_internal.h"
#include "os/file.h"
#include "pki/cert.h"
#include "pki/key.h"
#include "rpc/pb.h"

enum { TRUST_ARENA = 1 * MiB, TRUST_FILE_MAX = 256 * KiB, CAS_KNOWN_MAX = 32, PROFILES_READ_MAX = 100 };

/* ---- other profiles --------------------------------------------------------------------------------------------- */

/* NULL for a profile that cannot be read, or that others may write; the error is reported at its use. */
static struct profile *read_other(struct arena *a, const char *home, const char *name)
{
        struct profile *p = arena_alloc(a, sizeof *p);

        *p = (struct profile){ .arena = a, .home = home, .proxy_host = name };
        struct error *err = profile_read_yaml(p);
        if (err == NULL) {
                profile_set_paths(p);
                err = profile_check_files(p);
        }
        bool is_read = err == NULL;
        error_free(err);
        return is_read ? p : NULL;
}

struct all {
        struct profile *list[PROFILES_READ_MAX];
        size_t count;
};

static struct error *read_all(struct arena *a, struct all *ret)
{
        const char *home = NULL, **names = NULL;
        size_t count = 0;

        *ret = (struct all){ 0 };
        TRY(profile_home(a, &home));
        TRY(profile_names(a, &names, &count));
        for (size_t i = 0; i < count && ret->count < PROFILES_READ_MAX; i++) {
                struct profile *p = read_other(a, home, names[i]);

                if (p != NULL)
                        ret->list[ret->count++] = p;
        }
        return NULL;
}

/* Whether the cluster's name lies below the other's, as the name of a host lies below that of its cluster. */
static bool is_below(const char *inner, const char *outer)
{
        struct str in = str_of(inner), out = str_of(outer);

        return in.len > out.len + 1 && in.ptr[in.len - out.len - 1] == '.' && str_equal_nocase(str_slice(in, in.len - out.len, in.len), out);
}

static bool is_same_cluster(const char *a, const char *b)
{
        return str_equal_nocase(str_of(a), str_of(b));
}

struct error *profile_find_inner(struct profile *p)
{
        struct all all;

        p->inner = NULL;
        p->inner_count = 0;
        TRY(read_all(p->arena, &all));
        p->inner = arena_alloc(p->arena, (all.count + 1) * sizeof *p->inner);
        for (size_t i = 0; i < all.count; i++)
                if (is_below(all.list[i]->cluster, p->cluster))
                        p->inner[p->inner_count++] = all.list[i]->cluster;
        return NULL;
}

struct error *profile_check_host(const struct profile *p, struct str host)
{
        AUTO_PTR(arena) a = arena_new(TRUST_ARENA);
        struct profile looked = { .arena = a, .cluster = p->cluster };

        TRY(profile_find_inner(&looked));
        for (size_t i = 0; i < looked.inner_count; i++) {
                struct str inner = str_of(looked.inner[i]);
                bool is_its = host.len > inner.len && host.ptr[host.len - inner.len - 1] == '.' &&
                              str_equal_nocase(str_slice(host, host.len - inner.len, host.len), inner);

                if (!is_its) /* not below `inner`; the name of that cluster itself may be a host of this one */
                        continue;
                AUTO_MEM char *shown = escaped(host);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "%s is a name in the cluster %s, but the request would go to %s at %s", shown, looked.inner[i],
                                            p->cluster, p->web_addr),
                                  "name the proxy of %s with --proxy, or the node by its name alone", looked.inner[i]);
        }
        return NULL;
}

/* ---- known_hosts ------------------------------------------------------------------------------------------------ */

/* Whether the cluster's name is also the name of a host in another known cluster. */
static bool is_name_elsewhere(const struct profile *p, const struct all *all)
{
        for (size_t i = 0; i < all->count; i++)
                if (is_below(p->cluster, all->list[i]->cluster))
                        return true;
        return false;
}

/* "@cert-authority example.com,*.example.com", with exceptions for names of other clusters. */
static void put_names(struct buf *out, const struct profile *p, const struct all *all)
{
        buf_printf(out, "@cert-authority %s,*.%s", p->cluster, p->cluster);
        if (all != NULL && is_name_elsewhere(p, all))
                buf_printf(out, ",!%s", p->cluster);
        for (size_t i = 0; all != NULL && i < all->count; i++)
                if (is_below(all->list[i]->cluster, p->cluster))
                        buf_printf(out, ",!%s,!*.%s", all->list[i]->cluster, all->list[i]->cluster);
        buf_put_char(out, ' ');
}

/* Whether a login of tsh made the line, in any release: "@cert-authority C,*.C[,!…] KEY type=host". Gives C and the key. */
static bool is_ours(struct str line, struct str *cluster, struct str *key)
{
        struct str marker = str_split(&line, ' '), names = str_split(&line, ' ');
        struct str first = str_split(&names, ','), second = str_split(&names, ',');

        if (!str_equal(marker, STR("@cert-authority")) || !str_starts_with(second, STR("*.")) ||
            !str_equal(str_slice(second, 2, second.len), first))
                return false;
        if (!str_ends_with(line, STR(" type=host")))
                return false;
        *cluster = first;
        *key = line;
        return true;
}

/* Reads a file; a missing file counts as empty. */
static struct error *read_if_there(const char *path, struct buf *out)
{
        struct error *err = file_read(path, out);

        if (err == NULL || err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        return NULL;
}

struct error *profile_write_ssh_cas(const struct profile *p, const struct str *ssh_cas, size_t count)
{
        AUTO(buf) lines = BUF_MAX(TRUST_FILE_MAX);

        for (size_t i = 0; i < count; i++) {
                put_names(&lines, p, NULL);
                TRY(ssh_wire_to_line(ssh_cas[i], &lines));
                buf_put_c(&lines, " type=host\n");
        }
        TRY(buf_finish(&lines, p->known_hosts));
        return file_write_atomic(p->known_hosts, buf_str(&lines), 0600);
}

/* Whether profiles have the same cluster name and different CAs: neither is written to the shared file. */
static bool is_contested(const struct all *all, const struct buf *texts, size_t at)
{
        for (size_t i = 0; i < all->count; i++)
                if (i != at && is_same_cluster(all->list[i]->cluster, all->list[at]->cluster) && !str_equal(buf_str(&texts[i]), buf_str(&texts[at])))
                        return true;
        return false;
}

static bool is_repeated(const struct all *all, size_t at)
{
        for (size_t i = 0; i < at; i++)
                if (is_same_cluster(all->list[i]->cluster, all->list[at]->cluster))
                        return true;
        return false;
}

static void put_cluster(struct buf *out, const struct all *all, const struct buf *texts, size_t at)
{
        struct str lines = buf_str(&texts[at]);

        if (is_contested(all, texts, at)) {
                if (!is_repeated(all, at))
                        buf_printf(out, "# %s: profiles disagree about its CA; each has its own under keys/\n", all->list[at]->cluster);
                return;
        }
        while (!is_repeated(all, at) && !str_is_empty(lines)) {
                struct str cluster, key;

                if (!is_ours(str_split(&lines, '\n'), &cluster, &key))
                        continue;
                put_names(out, all->list[at], all);
                buf_printf(out, "%.*s\n", STR_ARG(key));
        }
}

/* Copies the lines that other programs wrote. */
static struct error *keep_foreign(const char *path, struct buf *out)
{
        AUTO(buf) old = BUF_MAX(TRUST_FILE_MAX);

        TRY(read_if_there(path, &old));
        for (struct str rest = buf_str(&old); !str_is_empty(rest);) {
                struct str line = str_split(&rest, '\n'), cluster, key;

                if (str_is_empty(line) || is_ours(line, &cluster, &key) || str_ends_with(line, STR("each has its own under keys/")))
                        continue;
                buf_printf(out, "%.*s\n", STR_ARG(line));
        }
        return NULL;
}

struct error *profile_write_known_hosts(const char *home)
{
        AUTO_PTR(arena) a = arena_new(TRUST_ARENA);
        AUTO(buf) out = BUF_MAX(2 * TRUST_FILE_MAX);
        const char *path = arena_printf(a, "%s/known_hosts", home);
        struct buf texts[PROFILES_READ_MAX] = { 0 };
        struct error *err = NULL;
        struct all all;

        TRY(keep_foreign(path, &out));
        TRY(read_all(a, &all));
        for (size_t i = 0; i < all.count && err == NULL; i++) {
                texts[i] = BUF_MAX(TRUST_FILE_MAX);
                err = read_if_there(all.list[i]->known_hosts, &texts[i]);
        }
        for (size_t i = 0; i < all.count && err == NULL; i++)
                put_cluster(&out, &all, texts, i);
        for (size_t i = 0; i < all.count; i++)
                buf_release(&texts[i]);
        TRY(err);
        TRY(buf_finish(&out, path));
        return file_write_atomic(path, buf_str(&out), 0600);
}

/* ---- profiles of older releases --------------------------------------------------------------------------------- */

static struct error *check_alone(struct profile *p)
{
        struct all all;

        TRY(read_all(p->arena, &all));
        for (size_t i = 0; i < all.count; i++)
                if (strcmp(all.list[i]->proxy_host, p->proxy_host) != 0 && is_same_cluster(all.list[i]->cluster, p->cluster))
                        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "an older release kept one CA for %s and %s, which both have the name %s",
                                                    p->proxy_host, all.list[i]->proxy_host, p->cluster),
                                          "log in again: tsh login --proxy=%s --user=%s", p->web_addr, p->user);
        return NULL;
}

struct error *profile_migrate(struct profile *p)
{
        AUTO(buf) old = BUF_MAX(TRUST_FILE_MAX), own = BUF_MAX(TRUST_FILE_MAX);

        if (access(p->known_hosts, F_OK) == 0 || access(p->host_cas, F_OK) != 0)
                return NULL;
        TRY(check_alone(p));
        TRY(read_if_there(arena_printf(p->arena, "%s/known_hosts", p->home), &old));
        for (struct str rest = buf_str(&old); !str_is_empty(rest);) {
                struct str line = str_split(&rest, '\n'), cluster, key;

                if (!is_ours(line, &cluster, &key) || !str_equal(cluster, str_of(p->cluster)))
                        continue;
                put_names(&own, p, NULL);
                buf_printf(&own, "%.*s\n", STR_ARG(key));
        }
        if (own.len == 0)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the profile of %s has no CA for SSH", p->proxy_host),
                                  "log in again: tsh login --proxy=%s --user=%s", p->web_addr, p->user);
        TRY(dir_make(arena_printf(p->arena, "%s/keys/%s/cas", p->home, p->proxy_host), 0700));
        TRY(file_write_atomic(p->known_hosts, buf_str(&own), 0600));
        return profile_write_known_hosts(p->home);
}

/* ---- the CAs of a login, compared with known CAs ----------------------------------------------------------------- */

/* Fingerprints in the arena: "sha256:…" for X.509, "SHA256:…" for SSH. */
struct cas {
        struct arena *arena;
        const char *list[CAS_KNOWN_MAX];
        size_t count;
};

struct error *profile_tls_pin(struct arena *a, struct str ca_der, const char **ret)
{
        AUTO(buf) pin = BUF_MAX(256);

        TRY(ca_pin_of_cert(ca_der, &pin));
        *ret = str_to_c(a, buf_str(&pin));
        return NULL;
}

struct error *profile_ssh_pin(struct arena *a, struct str ca_wire, const char **ret)
{
        AUTO(buf) text = BUF_MAX(256);
        uint8_t digest[32];

        sha256(ca_wire, digest);
        buf_put_c(&text, "SHA256:");
        base64_encode_raw(&text, str_of_bytes(digest, sizeof digest));
        TRY(buf_finish(&text, "the fingerprint of a CA"));
        *ret = str_to_c(a, buf_str(&text));
        return NULL;
}

static struct error *add_tls(void *ctx, struct str der)
{
        struct cas *c = ctx;

        if (c->count == CAS_KNOWN_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d CAs", CAS_KNOWN_MAX);
        TRY(profile_tls_pin(c->arena, der, &c->list[c->count]));
        c->count++;
        return NULL;
}

static struct error *add_ssh(struct cas *c, struct str wire)
{
        if (c->count == CAS_KNOWN_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d CAs", CAS_KNOWN_MAX);
        TRY(profile_ssh_pin(c->arena, wire, &c->list[c->count]));
        c->count++;
        return NULL;
}

static struct error *add_known(struct cas *c, const struct profile *p)
{
        AUTO(buf) pem = BUF_MAX(TRUST_FILE_MAX), lines = BUF_MAX(TRUST_FILE_MAX);

        TRY(read_if_there(p->host_cas, &pem));
        TRY(cert_pem_each(buf_str(&pem), add_tls, c));
        TRY(read_if_there(p->known_hosts, &lines));
        for (struct str rest = buf_str(&lines); !str_is_empty(rest);) {
                struct str line = str_split(&rest, '\n'), cluster, key;
                AUTO(buf) wire = BUF_MAX(CERT_MAX);

                if (!is_ours(line, &cluster, &key))
                        continue;
                str_split(&key, ' ');
                TRY(base64_decode(&wire, str_split(&key, ' ')));
                TRY(add_ssh(c, buf_str(&wire)));
        }
        return NULL;
}

/* Adds a pin in the form of the known fingerprints: "sha256:…" has lower-case digits, "SHA256:…" is case-sensitive base64. */
static void add_pin(struct cas *c, const char *pin)
{
        char *text = pb_text(str_to_c(c->arena, str_of(pin))); /* a copy, which may be changed */

        for (char *at = text; pin[0] == 's' && *at != '\0'; at++)
                *at = char_lower(*at);
        c->list[c->count++] = text;
}

static bool has(const struct cas *c, const char *fingerprint)
{
        for (size_t i = 0; i < c->count; i++)
                if (strcmp(c->list[i], fingerprint) == 0)
                        return true;
        return false;
}

/* Whether the list has a fingerprint of the same kind, X.509 or SSH. */
static bool names_kind(const struct cas *c, const char *fingerprint)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->list[i][0] == fingerprint[0])
                        return true;
        return false;
}

static const char *listed(struct arena *a, const struct cas *c, const struct cas *without, const char *before)
{
        const char *text = "";

        for (size_t i = 0; i < c->count; i++)
                if (without == NULL || !has(without, c->list[i]))
                        text = arena_printf(a, "%s%s%s%s", text, *text == '\0' ? "" : " ", before, c->list[i]);
        return text;
}

static struct error *refuse_change(struct arena *a, const struct profile_login *login, const struct profile *known_from, const struct cas *known,
                                   const struct cas *shown)
{
        return error_hint(error_new(ERROR_UNAUTHENTICATED,
                                    "the CA of cluster %s that %s shows is not the one that is known: known are %s (cluster %s, login at %s), it shows %s",
                                    login->cluster, login->web_addr, listed(a, known, NULL, ""), known_from->cluster, known_from->web_addr,
                                    listed(a, shown, NULL, "")),
                          "if the CA was not replaced, this proxy is not of that cluster. Once an administrator has confirmed the new one (tctl status): "
                          "tsh login --proxy=%s --user=%s %s",
                          login->web_addr, login->user, listed(a, shown, known, "--ca-pin="));
}

static struct error *refuse_pin(struct arena *a, const struct profile_login *login, const struct cas *pins, const struct cas *shown)
{
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "the CA of cluster %s that %s shows is not the one that --ca-pin names: it shows %s, named are %s",
                                    login->cluster, login->web_addr, listed(a, shown, NULL, ""), listed(a, pins, NULL, "")),
                          "compare with: tctl status");
}

/* The CAs of the proxy's own profile, which count even if the rest of the profile cannot be read. NULL: none. */
static struct error *find_own(struct arena *a, const struct profile_login *login, struct profile **ret)
{
        struct profile *p = arena_alloc(a, sizeof *p);
        const char *name = NULL, *home = NULL;

        *ret = NULL;
        TRY(profile_home(a, &home));
        TRY(profile_name_of(a, login->web_addr, &name));
        *p = (struct profile){ .arena = a, .home = home, .proxy_host = name };
        struct error *err = profile_read_yaml(p);
        if (err != NULL)
                *p = (struct profile){ .arena = a, .home = home, .proxy_host = name, .web_addr = login->web_addr, .user = login->user, .cluster = login->cluster };
        error_free(err);
        profile_set_paths(p);
        if (access(p->host_cas, F_OK) != 0 && access(p->known_hosts, F_OK) != 0)
                return NULL;
        TRY(profile_check_cas(p));
        *ret = p;
        return NULL;
}

/*
 * The CAs of the profile that the login replaces, if the proxy still names the same cluster; otherwise the CAs of profiles of the
 * same cluster name. A profile that others could have changed is an error: ignoring it would make the login a first one.
 */
static struct error *find_known(struct arena *a, const struct profile_login *login, struct cas *known, struct profile **ret_from)
{
        const char *home = NULL, **names = NULL;
        struct profile *own;
        size_t count = 0;

        *ret_from = NULL;
        TRY(find_own(a, login, &own));
        if (own != NULL && is_same_cluster(own->cluster, login->cluster)) {
                *ret_from = own;
                return add_known(known, own);
        }
        TRY(profile_home(a, &home));
        TRY(profile_names(a, &names, &count));
        for (size_t i = 0; i < count; i++) {
                struct profile *p = arena_alloc(a, sizeof *p);

                *p = (struct profile){ .arena = a, .home = home, .proxy_host = names[i] };
                struct error *unread = profile_read_yaml(p);
                bool is_meant = unread == NULL && is_same_cluster(p->cluster, login->cluster);
                error_free(unread);
                if (!is_meant)
                        continue;
                profile_set_paths(p);
                TRY(profile_check_cas(p));
                *ret_from = p;
                TRY(add_known(known, p));
        }
        if (*ret_from != NULL || own == NULL)
                return NULL;
        *ret_from = own;
        return add_known(known, own);
}

/* Checks that the CAs of the login carry the name of its cluster. */
static struct error *check_names(const struct profile_login *login)
{
        TRY(name_check_host(str_of(login->cluster), "cluster name"));
        for (size_t i = 0; i < login->tls_ca_count; i++) {
                AUTO_PTR(arena) a = arena_new(CERT_READ_ARENA);
                struct cert_info ca;

                TRY(cert_read(a, login->tls_cas[i], &ca));
                if (ca.is_ca && str_equal(ca.cluster, str_of(login->cluster)) && str_equal(ca.common_name, str_of(login->cluster)))
                        continue;
                AUTO_MEM char *shown = escaped(ca.cluster);
                return error_hint(error_new(ERROR_UNAUTHENTICATED, "%s calls its cluster %s and shows the CA of '%s'", login->web_addr, login->cluster, shown),
                                  "this is no proxy of %s", login->cluster);
        }
        return NULL;
}

struct error *profile_check_trust(const struct profile_login *login, const char *const *given_pins)
{
        AUTO_PTR(arena) a = arena_new(TRUST_ARENA);
        struct cas known = { .arena = a }, shown = { .arena = a }, pins = { .arena = a };
        struct profile *from = NULL;
        bool is_settled = true;

        TRY(check_names(login));
        for (size_t i = 0; given_pins != NULL && given_pins[i] != NULL && pins.count < CAS_KNOWN_MAX; i++)
                add_pin(&pins, given_pins[i]);
        for (size_t i = 0; i < login->tls_ca_count; i++)
                TRY(add_tls(&shown, login->tls_cas[i]));
        for (size_t i = 0; i < login->ssh_ca_count; i++)
                TRY(add_ssh(&shown, login->ssh_cas[i]));
        for (size_t i = 0; i < shown.count; i++)
                is_settled = is_settled && has(&pins, shown.list[i]);
        if (is_settled)
                return NULL; /* the pins suffice, whatever CAs are known */
        TRY(find_known(a, login, &known, &from));
        for (size_t i = 0; i < shown.count; i++) {
                if (has(&pins, shown.list[i]) || has(&known, shown.list[i]))
                        continue;
                if (names_kind(&pins, shown.list[i]))
                        return refuse_pin(a, login, &pins, &shown);
                if (known.count > 0)
                        return refuse_change(a, login, from, &known, &shown);
        }
        return NULL;
}
