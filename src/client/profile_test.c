/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names_testing.h"
#include "base/text.h"
#include "client/client.h"
#include "os/file_testing.h"
#include "pki/cert.h"
#include "pki/pki_testing.h"

#define CLUSTER "example.com"
#define PROXY "proxy.example.com"
enum { NOW = 1700000000, LIFE = 3600 };

/* A directory, and a cluster that certifies alice. */
struct fixture {
        char *home;
        struct arena *arena;
        struct test_ca ca;
        struct test_keys keys;
        struct secret tls_pem, ssh_text;
        struct str ca_cert, ca_key;
        struct buf tls_cert, ssh_cert;
};

static struct str taken(struct fixture *f, struct buf *b)
{
        struct str s = arena_str(f->arena, buf_str(b));

        buf_clear(b);
        return s;
}

static void certify(struct fixture *f)
{
        static const struct str roles[] = { STR_INIT("access"), STR_INIT("editor") };
        static const struct str logins[] = { STR_INIT("root"), STR_INIT("ubuntu") };
        const struct cert_times times = times_of(NOW, NOW + LIFE);
        const struct x509_user_subject subject = { STR("alice"), STR(CLUSTER), roles, ARRAY_LEN(roles), logins, ARRAY_LEN(logins) };
        const struct ssh_user_subject ssh_subject = { .user = STR("alice"), .principals = logins, .principal_count = ARRAY_LEN(logins),
                                                      .roles = roles, .role_count = ARRAY_LEN(roles), .permit_pty = true,
                                                      .permit_port_forwarding = true };

        f->tls_cert = f->ssh_cert = BUF_MAX(CERT_MAX);
        assert_done(x509_issue_user(f->ca.x509, &subject, buf_str(&f->keys.tls_public), times, &f->tls_cert, NULL));
        assert_done(ssh_issue_user(f->ca.ssh, &ssh_subject, buf_str(&f->keys.ssh_public), 1, times, &f->ssh_cert));
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        *state = f;
        f->arena = arena_new(1 * MiB);
        f->home = test_dir_new();
        setenv("TELEPORT_HOME", f->home, 1);
        test_ca_init(&f->ca, times_of(NOW - LIFE, NOW + 100 * LIFE));
        f->ca_cert = buf_str(&f->ca.cert);
        f->ca_key = buf_str(&f->ca.keys.ssh_public);
        test_keys_init(&f->keys);
        assert_done(key_to_pem(&f->keys.tls, &f->tls_pem));
        assert_done(key_to_openssh(&f->keys.ssh, STR("alice"), &f->ssh_text));
        certify(f);
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        bool any;

        assert_done(profile_remove_all(&any));
        assert_int_equal(count_entries(f->home), 0); /* no files are left */
        test_dir_free(f->home);
        test_ca_release(&f->ca);
        test_keys_release(&f->keys);
        buf_release(&f->tls_cert);
        buf_release(&f->ssh_cert);
        secret_release(&f->tls_pem);
        secret_release(&f->ssh_text);
        arena_free(f->arena);
        free(f);
        return 0;
}

static struct profile_login a_login(struct fixture *f, const char *web_addr, const char *user, const char *cluster)
{
        return (struct profile_login){
                .web_addr = web_addr,
                .user = user,
                .cluster = cluster,
                .ssh_key = &f->ssh_text,
                .tls_key = &f->tls_pem,
                .ssh_public = buf_str(&f->keys.ssh_public),
                .ssh_cert = buf_str(&f->ssh_cert),
                .tls_cert = buf_str(&f->tls_cert),
                .tls_cas = &f->ca_cert,
                .tls_ca_count = 1,
                .ssh_cas = &f->ca_key,
                .ssh_ca_count = 1,
        };
}

static struct error *log_in(struct fixture *f, const char *web_addr, const char *user)
{
        struct profile_login login = a_login(f, web_addr, user, CLUSTER);

        return profile_store(&login);
}

static mode_t mode_with_type(const char *path)
{
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_mode;
}

static void reads_back_the_profile_of_a_login(void **state)
{
        struct fixture *f = *state;
        AUTO(profile) p = { 0 };
        AUTO(secret) key = { 0 };

        assert_done(log_in(f, PROXY ":3080", "alice"));
        assert_done(profile_load(&p, NULL, NULL));
        assert_string_equal(p.web_addr, PROXY ":3080");
        assert_string_equal(p.user, "alice");
        assert_string_equal(p.cluster, CLUSTER);
        assert_true(p.is_current);
        assert_int_equal(p.role_count, 2);
        assert_str(p.roles[1], "editor");
        assert_int_equal(p.login_count, 2);
        assert_str(p.logins[0], "root");
        assert_int_equal(p.extension_count, 2); /* not teleport-roles */
        assert_str(p.extensions[0], "permit-port-forwarding");
        assert_int_equal(walltime_unix(p.not_after), NOW + LIFE);
        assert_done(profile_tls_key(&p, &key));
        assert_true(str_equal(secret_str(&key), secret_str(&f->tls_pem)));
        const char *const files[] = { p.ssh_key, p.tls_key, p.ssh_cert, p.tls_cert, p.host_cas, p.known_hosts };
        for (size_t i = 0; i < ARRAY_LEN(files); i++)
                assert_int_equal(mode_of(files[i]), 0600);
}

static void reports_its_expiry(void **state)
{
        AUTO(profile) p = { 0 };

        assert_done(log_in(*state, PROXY ":3080", "alice"));
        assert_done(profile_load(&p, PROXY, "alice"));
        assert_done(profile_check_times(&p, walltime_of_unix(NOW + LIFE - 1)));
        assert_refused(profile_check_times(&p, walltime_of_unix(NOW + LIFE)), ERROR_UNAUTHENTICATED, "Active profile expired.");
}

static void refuses_a_key_that_others_may_read(void **state)
{
        AUTO(profile) p = { 0 };
        struct secret key = { 0 };

        assert_done(log_in(*state, PROXY ":3080", "alice"));
        assert_done(profile_load(&p, NULL, NULL));
        const mode_t modes[] = { 0644, 0640, 0604, 0620 };
        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                assert_int_equal(chmod(p.tls_key, modes[i]), 0);
                assert_refused(profile_tls_key(&p, &key), ERROR_PERMISSION_DENIED, "other users may read");
        }
}

static void has_no_user_before_a_login(void **state)
{
        struct profile p;

        assert_refused(profile_load(&p, NULL, NULL), ERROR_NOT_FOUND, "Not logged in.");
        assert_refused(profile_load(&p, PROXY, NULL), ERROR_NOT_FOUND, "Not logged in.");
        assert_done(log_in(*state, PROXY ":3080", "alice"));
        assert_refused(profile_load(&p, "other.example.com", NULL), ERROR_NOT_FOUND, "Not logged in.");
        assert_refused(profile_load(&p, NULL, "bob"), ERROR_NOT_FOUND, "Not logged in.");
}

static void keeps_a_profile_for_each_proxy(void **state)
{
        AUTO_PTR(arena) a = arena_new(256 * KiB);
        AUTO(profile) first = { 0 };
        AUTO(buf) hosts = BUF_MAX(64 * KiB);
        const char **names = NULL;
        size_t count = 0;
        struct profile p;

        assert_done(log_in(*state, PROXY ":3080", "alice"));
        assert_done(log_in(*state, "b.example.com:443", "alice"));
        assert_done(profile_names(a, &names, &count));
        assert_int_equal(count, 2);
        assert_string_equal(names[0], "b.example.com");
        assert_done(profile_load(&first, PROXY, NULL));
        assert_false(first.is_current);
        assert_done(file_read(first.known_hosts, &hosts));
        /* One cluster, one line: a login replaces the earlier line. */
        assert_true(str_starts_with(buf_str(&hosts), STR("@cert-authority example.com,*.example.com ssh-ed25519 ")));
        assert_int_equal(str_find_char(buf_str(&hosts), '\n'), hosts.len - 1);

        assert_done(profile_remove(&first));
        assert_refused(profile_load(&p, PROXY, NULL), ERROR_NOT_FOUND, "Not logged in.");
        assert_done(profile_load(&p, NULL, NULL)); /* the other one is still there */
        profile_release(&p);
}

static void two_proxies_of_one_host_have_a_profile_each(void **state)
{
        struct profile p;

        assert_done(log_in(*state, PROXY ":3080", "alice"));
        assert_done(log_in(*state, PROXY ":3081", "alice"));
        assert_done(log_in(*state, PROXY ":3080", "alice")); /* again: in the same place */
        assert_done(profile_load(&p, PROXY ":3080", NULL));
        assert_string_equal(p.proxy_host, PROXY);
        profile_release(&p);
        assert_done(profile_load(&p, PROXY ":3081", NULL));
        assert_string_equal(p.proxy_host, PROXY ":3081");
        assert_string_equal(p.web_addr, PROXY ":3081");
        profile_release(&p);
        assert_refused(profile_load(&p, PROXY ":3082", NULL), ERROR_NOT_FOUND, "Not logged in.");
}

static void the_longest_names_have_a_profile_each(void **state)
{
        struct profile p;

        assert_done(log_in(*state, NAME_250 "aaa:3080", "alice"));
        assert_done(log_in(*state, NAME_250 "aab:3080", "alice"));
        assert_done(profile_load(&p, NAME_250 "aaa", NULL));
        assert_string_equal(p.web_addr, NAME_250 "aaa:3080");
        assert_false(p.is_current);
        profile_release(&p);
        assert_done(profile_load(&p, NULL, NULL));
        assert_string_equal(p.web_addr, NAME_250 "aab:3080");
        profile_release(&p);
}

/* The fixture's login with CAs of another cluster. */
static struct profile_login hostile_login(struct fixture *f, const char *web_addr, const char *cluster, struct str *ssh_ca, struct str *tls_ca)
{
        struct profile_login login = a_login(f, web_addr, "alice", cluster);
        struct key tls = given_key(KEY_ECDSA_P256), ssh = given_key(KEY_ED25519);
        AUTO(buf) out = BUF_MAX(CERT_MAX);

        assert_done(x509_ca_create(&tls, str_of(cluster), times_of(NOW, NOW + LIFE), &out));
        *tls_ca = taken(f, &out);
        assert_done(key_public_ssh(&ssh, &out));
        *ssh_ca = taken(f, &out);
        login.tls_cas = tls_ca;
        login.ssh_cas = ssh_ca;
        key_release(&tls);
        key_release(&ssh);
        return login;
}

static void a_changed_ca_is_refused_until_it_is_named(void **state)
{
        static const char *const proxies[] = { PROXY ":3080", PROXY ":3081", "evil.example.org:443" };
        struct fixture *f = *state;
        struct str ssh_ca, tls_ca;
        AUTO(buf) known = BUF_MAX(256), shown = BUF_MAX(256), ssh = BUF_MAX(256);
        uint8_t digest[32];

        struct profile_login login = a_login(f, PROXY ":3080", "alice", CLUSTER);
        assert_done(profile_check_trust(&login, NULL)); /* the first login trusts the CAs of the proxy */
        assert_done(log_in(f, PROXY ":3080", "alice"));
        assert_done(profile_check_trust(&login, NULL));
        assert_done(ca_pin_of_cert(f->ca_cert, &known));
        for (size_t i = 0; i < ARRAY_LEN(proxies); i++) {
                login = hostile_login(f, proxies[i], i == 2 ? "Example.COM" : CLUSTER, &ssh_ca, &tls_ca);
                buf_clear(&shown);
                buf_clear(&ssh);
                assert_done(ca_pin_of_cert(tls_ca, &shown));
                sha256(ssh_ca, digest);
                buf_put_c(&ssh, "SHA256:");
                base64_encode_raw(&ssh, str_of_bytes(digest, sizeof digest));
                AUTO_PTR(error) err = profile_check_trust(&login, NULL);
                assert_int_equal(err->code, ERROR_UNAUTHENTICATED);
                assert_non_null(strstr(err->what, buf_c(&known)));
                assert_non_null(strstr(err->what, buf_c(&shown)));
                assert_non_null(strstr(err->hint, buf_c(&ssh)));
                const char *both[] = { buf_c(&shown), buf_c(&ssh), NULL }, *tls_alone[] = { buf_c(&shown), NULL }, *old[] = { buf_c(&known), NULL };
                assert_done(profile_check_trust(&login, both));
                for (size_t k = strlen("sha256:"); k < shown.len; k++)
                        shown.ptr[k] = shown.ptr[k] >= 'a' ? (char)(shown.ptr[k] - 'a' + 'A') : shown.ptr[k];
                assert_done(profile_check_trust(&login, both)); /* hexadecimal digits as others write them */
                assert_refused(profile_check_trust(&login, tls_alone), ERROR_UNAUTHENTICATED, "is not the one that is known");
                assert_refused(profile_check_trust(&login, old), ERROR_UNAUTHENTICATED, "is not the one that --ca-pin names");
        }
        login = hostile_login(f, "other.example.org:443", "example.org", &ssh_ca, &tls_ca);
        assert_done(profile_check_trust(&login, NULL)); /* another cluster */
}

static void known_cas_count_though_the_profile_cannot_be_read(void **state)
{
        struct fixture *f = *state;
        AUTO_PTR(arena) a = arena_new(16 * KiB);
        const char *yaml = arena_printf(a, "%s/" PROXY ".yaml", f->home), *cas = arena_printf(a, "%s/keys/" PROXY "/certs.pem", f->home);
        struct str ssh_ca, tls_ca;

        assert_done(log_in(f, PROXY ":3080", "alice"));
        struct profile_login hostile = hostile_login(f, PROXY ":3080", CLUSTER, &ssh_ca, &tls_ca), same = a_login(f, PROXY ":3080", "alice", CLUSTER);
        assert_done(file_write_atomic(yaml, STR("- damaged\n"), 0600));
        assert_refused(profile_check_trust(&hostile, NULL), ERROR_UNAUTHENTICATED, "is not the one that is known");
        assert_done(profile_check_trust(&same, NULL));

        /* A file that others could have changed is not trusted, and ignoring it would accept any CA. */
        assert_done(log_in(f, PROXY ":3080", "alice"));
        assert_int_equal(chmod(cas, 0666), 0);
        assert_refused(profile_check_trust(&hostile, NULL), ERROR_PERMISSION_DENIED, "other users may change");
        hostile.web_addr = "evil.example.org:443";
        assert_refused(profile_check_trust(&hostile, NULL), ERROR_PERMISSION_DENIED, "other users may change");
        assert_int_equal(chmod(cas, 0600), 0);
}

static void a_proxy_cannot_become_that_of_a_known_cluster(void **state)
{
        struct fixture *f = *state;
        struct key tls = given_key(KEY_ECDSA_P256);
        AUTO(buf) out = BUF_MAX(CERT_MAX);
        struct str ssh_ca, tls_ca;

        assert_done(log_in(f, PROXY ":3080", "alice"));
        struct profile_login evil = hostile_login(f, "evil.example.org:443", "example.org", &ssh_ca, &tls_ca);
        assert_done(x509_ca_create(&tls, STR("example.org"), times_of(NOW, NOW + LIFE), &out));
        tls_ca = taken(f, &out);
        assert_done(profile_store(&evil));
        assert_done(profile_check_trust(&evil, NULL));
        /* The known keys of this cluster, under the name of the other. */
        assert_done(x509_ca_create(&tls, STR(CLUSTER), times_of(NOW, NOW + LIFE), &out));
        tls_ca = taken(f, &out);
        evil.cluster = CLUSTER;
        assert_refused(profile_check_trust(&evil, NULL), ERROR_UNAUTHENTICATED, "is not the one that is known");
        key_release(&tls);
}

static void refuses_names_that_no_cluster_has(void **state)
{
        static const char *const names[] = { "../example.com", "*", "*.example.com", "a b", "exa?ple.com", "!example.com", "a,b", "a/b", "", ".com", "a\nb" };
        struct fixture *f = *state;
        struct str ssh_ca, tls_ca;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                struct profile_login login = a_login(f, PROXY ":3080", "alice", names[i]);

                assert_refused(profile_check_trust(&login, NULL), ERROR_INVALID_ARGUMENT, "cluster name");
                assert_refused(profile_store(&login), ERROR_INVALID_ARGUMENT, "cluster name");
        }
        struct profile_login login = hostile_login(f, PROXY ":3080", "example.org", &ssh_ca, &tls_ca);
        login.cluster = "example.net";
        assert_refused(profile_check_trust(&login, NULL), ERROR_UNAUTHENTICATED, "shows the CA of 'example.org'");
}

static void an_inner_cluster_is_left_out_of_the_outer_ones_names(void **state)
{
        struct fixture *f = *state;
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        AUTO(buf) hosts = BUF_MAX(64 * KiB);
        struct str ssh_ca, tls_ca;
        struct profile p;

        struct profile_login outer = hostile_login(f, "com.example.org:443", "com", &ssh_ca, &tls_ca);
        assert_done(profile_store(&outer));
        assert_done(log_in(f, PROXY ":3080", "alice"));
        assert_done(file_read(arena_printf(a, "%s/known_hosts", f->home), &hosts));
        assert_true(str_contains(buf_str(&hosts), STR("@cert-authority com,*.com,!example.com,!*.example.com ssh-ed25519 ")));
        /* "example.com" alone is also a host in "com", so it belongs to neither. */
        assert_true(str_contains(buf_str(&hosts), STR("@cert-authority example.com,*.example.com,!example.com ssh-ed25519 ")));
        assert_done(profile_find(&p, "com.example.org:443", NULL));
        assert_refused(profile_check_host(&p, STR("web-1.EXAMPLE.com")), ERROR_INVALID_ARGUMENT, "is a name in the cluster example.com");
        assert_done(profile_check_host(&p, STR("web-1.myexample.com")));
        profile_release(&p);
}

static void a_cluster_called_like_a_host_takes_nothing_of_its_cluster(void **state)
{
        struct fixture *f = *state;
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        AUTO(buf) hosts = BUF_MAX(64 * KiB);
        struct str ssh_ca, tls_ca;
        struct profile p;

        assert_done(log_in(f, PROXY ":3080", "alice"));
        struct profile_login evil = hostile_login(f, "evil.example.org:443", "web-1.example.com", &ssh_ca, &tls_ca);
        assert_done(profile_store(&evil));
        assert_done(file_read(arena_printf(a, "%s/known_hosts", f->home), &hosts));
        assert_true(str_contains(buf_str(&hosts), STR("@cert-authority web-1.example.com,*.web-1.example.com,!web-1.example.com ssh-ed25519 ")));
        assert_done(profile_find(&p, PROXY ":3080", NULL));
        assert_done(profile_check_host(&p, STR("web-1.example.com")));
        assert_refused(profile_check_host(&p, STR("a.web-1.example.com")), ERROR_INVALID_ARGUMENT, "is a name in the cluster web-1.example.com");
        profile_release(&p);
}

static void a_profile_of_an_older_release_gets_cas_of_its_own(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) own = BUF_MAX(64 * KiB);
        struct profile p;

        assert_done(log_in(f, PROXY ":3080", "alice"));
        assert_done(profile_find(&p, NULL, NULL));
        const char *path = arena_printf(f->arena, "%s", p.known_hosts);
        profile_release(&p);
        assert_int_equal(unlink(path), 0);
        assert_done(profile_load(&p, NULL, NULL));
        profile_release(&p);
        assert_done(file_read(path, &own));
        assert_true(str_starts_with(buf_str(&own), STR("@cert-authority example.com,*.example.com ssh-ed25519 ")));
        /* Two profiles of one name shared their trusted CAs: the owner of a CA is unknown. */
        assert_done(log_in(f, "evil.example.org:443", "alice"));
        assert_int_equal(unlink(path), 0);
        assert_refused(profile_load(&p, PROXY, NULL), ERROR_FAILED_PRECONDITION, "both have the name example.com");
        assert_done(log_in(f, PROXY ":3080", "alice"));
}

static void refuses_files_that_others_could_change(void **state)
{
        struct fixture *f = *state;
        struct profile p;

        assert_done(log_in(f, PROXY ":3080", "alice"));
        assert_done(profile_find(&p, NULL, NULL));
        const char *const entries[] = { p.home,
                                        arena_printf(p.arena, "%s/keys", p.home),
                                        arena_printf(p.arena, "%s/keys/" PROXY, p.home),
                                        arena_printf(p.arena, "%s/keys/" PROXY "/cas", p.home),
                                        arena_printf(p.arena, "%s/keys/" PROXY "/alice-ssh", p.home),
                                        arena_printf(p.arena, "%s/current-profile", p.home),
                                        arena_printf(p.arena, "%s/" PROXY ".yaml", p.home),
                                        p.known_hosts, p.host_cas, p.ssh_key, p.tls_key, p.ssh_cert, p.tls_cert };
        for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
                const char *moved = arena_printf(p.arena, "%s.moved", entries[i]);
                mode_t mode = mode_of(entries[i]);
                struct profile q;

                assert_int_equal(chmod(entries[i], mode | S_IWGRP), 0);
                assert_refused(profile_load(&q, NULL, NULL), ERROR_PERMISSION_DENIED, "other users may");
                assert_int_equal(chmod(entries[i], mode | S_IWOTH), 0);
                assert_refused(profile_load(&q, PROXY, NULL), ERROR_PERMISSION_DENIED, "other users may");
                assert_int_equal(chmod(entries[i], mode), 0);
                assert_int_equal(rename(entries[i], moved), 0);
                assert_int_equal(symlink(moved, entries[i]), 0);
                assert_refused(profile_load(&q, NULL, NULL), ERROR_PERMISSION_DENIED, "is a symbolic link");
                assert_int_equal(unlink(entries[i]), 0);
                assert_int_equal(rename(moved, entries[i]), 0);
                if (S_ISREG(mode_with_type(entries[i]))) {
                        assert_int_equal(link(entries[i], moved), 0);
                        assert_refused(profile_load(&q, NULL, NULL), ERROR_PERMISSION_DENIED, "hard link");
                        assert_int_equal(unlink(moved), 0);
                }
                assert_done(profile_load(&q, NULL, NULL));
                profile_release(&q);
        }
        assert_int_equal(chmod(entries[2], 0770), 0);
        assert_refused(log_in(f, PROXY ":3080", "alice"), ERROR_PERMISSION_DENIED, "other users may change its files");
        assert_int_equal(chmod(entries[2], 0700), 0);
        profile_release(&p);
}

/* The fixture's home is <top>/<way> from now on. */
static void set_home(const char *top, const char *way)
{
        AUTO_MEM char *path = mem_printf("%s/%s", top, way);

        setenv("TELEPORT_HOME", path, 1);
}

static void make(const char *top, const char *way, mode_t mode)
{
        AUTO_MEM char *path = mem_printf("%s/%s", top, way);

        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chmod(path, mode), 0);
}

static void set_mode(const char *top, const char *way, mode_t mode)
{
        AUTO_MEM char *path = mem_printf("%s/%s", top, way);

        assert_int_equal(chmod(path, mode), 0);
}

static void link_to(const char *top, const char *way, const char *target)
{
        AUTO_MEM char *path = mem_printf("%s/%s", top, way);

        assert_int_equal(symlink(target, path), 0);
}

static void take_away(const char *top, const char *way)
{
        AUTO_MEM char *path = mem_printf("%s/%s", top, way);

        (void)remove(path); /* the home directory may be removed with its profiles */
}

static void refuses_a_home_that_others_could_exchange(void **state)
{
        struct fixture *f = *state;
        struct profile q;
        bool has_any;

        make(f->home, "a", 0755);
        make(f->home, "a/b", 0755);
        make(f->home, "a/c", 0755);
        link_to(f->home, "a/c/link", "../b");
        link_to(f->home, "link", "a/c/link");
        static const char *const ways[] = { "a/b/home", "a/c/link/home", "link/home", "a/./c/../b/home" };
        static const struct {
                const char *directory;
                bool is_on[ARRAY_LEN(ways)];
        } parents[] = {
                { ".", { true, true, true, true } },
                { "a", { true, true, true, true } },
                { "a/b", { true, true, true, true } },
                { "a/c", { false, true, true, false } },
        };
        set_home(f->home, ways[0]);
        assert_done(log_in(f, PROXY ":3080", "alice"));
        for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
                set_home(f->home, ways[i]);
                for (size_t k = 0; k < ARRAY_LEN(parents); k++) {
                        for (mode_t others = 0020; others <= 0022; others++) {
                                set_mode(f->home, parents[k].directory, 0755 | others);
                                struct error *err = profile_load(&q, NULL, NULL);
                                if (!parents[k].is_on[i]) {
                                        assert_done(err);
                                        profile_release(&q);
                                        continue;
                                }
                                assert_refused(err, ERROR_PERMISSION_DENIED, "other users could replace your profile");
                                assert_refused(log_in(f, PROXY ":3080", "alice"), ERROR_PERMISSION_DENIED, "other users could replace your profile");
                                set_mode(f->home, parents[k].directory, 01755 | others);
                                assert_done(profile_load(&q, NULL, NULL)); /* sticky: as /tmp */
                                profile_release(&q);
                        }
                        set_mode(f->home, parents[k].directory, 0755);
                }
        }
        link_to(f->home, "loop", "loop");
        set_home(f->home, "loop/home");
        assert_refused(profile_load(&q, NULL, NULL), ERROR_INTERNAL, "");
        set_home(f->home, ways[0]);
        assert_done(profile_remove_all(&has_any));
        static const char *const made[] = { "loop", "link", "a/c/link", "a/c", "a/b/home", "a/b", "a" };
        for (size_t i = 0; i < ARRAY_LEN(made); i++)
                take_away(f->home, made[i]);
        setenv("TELEPORT_HOME", f->home, 1);
}

static void set_owner(const char *top, const char *way, uid_t uid)
{
        AUTO_MEM char *path = mem_printf("%s/%s", top, way);

        assert_int_equal(lchown(path, uid, (gid_t)-1), 0);
}

/* As in a container or a user namespace, where "/" belongs to a user without a number there. */
static void takes_the_owner_of_the_root_for_root(void **state)
{
        enum { OWNER = 65534, OTHER = 4711 };
        struct fixture *f = *state;
        struct profile q;
        bool has_any;

        if (geteuid() != 0)
                skip();
        int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        make(f->home, "a", 0755);
        make(f->home, "shared", 01777);
        link_to(f->home, "link", "a");
        link_to(f->home, "shared/link", "../a");
        assert_true(root >= 0 && chroot(f->home) == 0 && chdir("/") == 0);
        static const char *const ways[] = { "a/home", "link/home" };
        for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
                set_owner("", ".", 0);
                set_home("", ways[i]);
                assert_done(log_in(f, PROXY ":3080", "alice"));
                set_owner("", "a", OWNER);
                set_owner("", "link", OWNER);
                assert_refused(profile_load(&q, NULL, NULL), ERROR_PERMISSION_DENIED, "belongs to user 65534");
                set_owner("", ".", OWNER);
                assert_done(profile_load(&q, NULL, NULL));
                profile_release(&q);
                set_owner("", "a", OTHER);
                assert_refused(profile_load(&q, NULL, NULL), ERROR_PERMISSION_DENIED, "belongs to user 4711");
                set_owner("", "a", 0);
        }
        set_owner("", "shared/link", OWNER);
        set_home("", "shared/link/home");
        assert_refused(profile_load(&q, NULL, NULL), ERROR_PERMISSION_DENIED, "is a symbolic link of user 65534");
        set_home("", ways[0]);
        assert_done(profile_remove_all(&has_any));
        assert_true(fchdir(root) == 0 && chroot(".") == 0);
        close(root);
        static const char *const made[] = { "a/home", "a", "link", "shared/link", "shared" };
        for (size_t i = 0; i < ARRAY_LEN(made); i++)
                take_away(f->home, made[i]);
        setenv("TELEPORT_HOME", f->home, 1);
}

/* HOME of another user, as sudo may keep it. */
static void finds_no_profile_where_none_is(void **state)
{
        struct fixture *f = *state;
        struct profile q;

        make(f->home, "a", 0777);
        set_home(f->home, "a/home");
        assert_refused(profile_load(&q, NULL, NULL), ERROR_NOT_FOUND, "Not logged in.");
        assert_refused(profile_load(&q, PROXY, NULL), ERROR_NOT_FOUND, "Not logged in.");
        assert_refused(profile_check_place(), ERROR_PERMISSION_DENIED, "other users could replace your profile");
        take_away(f->home, "a");
        setenv("TELEPORT_HOME", f->home, 1);
}

static void refuses_certificates_of_another_user(void **state)
{
        struct fixture *f = *state;
        struct profile p;

        assert_done(log_in(f, PROXY ":3080", "mallory"));
        assert_refused(profile_load(&p, NULL, NULL), ERROR_INVALID_ARGUMENT, "is not a certificate of this profile");
}

static void refuses_names_that_would_be_paths(void **state)
{
        const char *const users[] = { "../alice", ".", "..", ".alice", "-alice", "a/b", "a b", "a\nb", "", "a$b", "a%b", "a\"b" };

        for (size_t i = 0; i < ARRAY_LEN(users); i++)
                assert_refused(log_in(*state, PROXY ":3080", users[i]), ERROR_INVALID_ARGUMENT, "names");
}

static void refuses_damaged_files_with_a_hint(void **state)
{
        struct fixture *f = *state;
        AUTO_PTR(arena) a = arena_new(16 * KiB);
        const char *const damaged[] = { "", "- a\n- b\n", "web_proxy_addr: x\n", "user: [a]\nweb_proxy_addr: x\ncluster: c\n",
                                        "user: ../x\nweb_proxy_addr: x:1\ncluster: c\n", ": :\n\t", "user: a\nuser: b\n" };
        struct profile p;

        assert_done(log_in(f, PROXY ":3080", "alice"));
        for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
                assert_done(file_write_atomic(arena_printf(a, "%s/" PROXY ".yaml", f->home), str_of(damaged[i]), 0600));
                assert_code(profile_load(&p, NULL, NULL), ERROR_INVALID_ARGUMENT);
        }
        assert_done(file_write_atomic(arena_printf(a, "%s/current-profile", f->home), STR("../../etc/x\n"), 0600));
        assert_refused(profile_load(&p, NULL, NULL), ERROR_INVALID_ARGUMENT, "does not name a profile");
}

#define PROFILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                PROFILE_TEST(reads_back_the_profile_of_a_login),
                PROFILE_TEST(reports_its_expiry),
                PROFILE_TEST(refuses_a_key_that_others_may_read),
                PROFILE_TEST(has_no_user_before_a_login),
                PROFILE_TEST(keeps_a_profile_for_each_proxy),
                PROFILE_TEST(two_proxies_of_one_host_have_a_profile_each),
                PROFILE_TEST(the_longest_names_have_a_profile_each),
                PROFILE_TEST(a_changed_ca_is_refused_until_it_is_named),
                PROFILE_TEST(known_cas_count_though_the_profile_cannot_be_read),
                PROFILE_TEST(a_proxy_cannot_become_that_of_a_known_cluster),
                PROFILE_TEST(refuses_names_that_no_cluster_has),
                PROFILE_TEST(an_inner_cluster_is_left_out_of_the_outer_ones_names),
                PROFILE_TEST(a_cluster_called_like_a_host_takes_nothing_of_its_cluster),
                PROFILE_TEST(a_profile_of_an_older_release_gets_cas_of_its_own),
                PROFILE_TEST(refuses_files_that_others_could_change),
                PROFILE_TEST(refuses_a_home_that_others_could_exchange),
                PROFILE_TEST(takes_the_owner_of_the_root_for_root),
                PROFILE_TEST(finds_no_profile_where_none_is),
                PROFILE_TEST(refuses_certificates_of_another_user),
                PROFILE_TEST(refuses_names_that_would_be_paths),
                PROFILE_TEST(refuses_damaged_files_with_a_hint),
        };
        if (dlopen("libyaml-0.so.2", RTLD_NOW) == NULL) /* a test with a root directory of its own finds no library there */
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
