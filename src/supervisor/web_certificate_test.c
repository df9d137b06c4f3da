/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/pb.h"
#include "supervisor/web_certificate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names_testing.h"
#include "net/made_cert_testing.h"
#include "os/file_testing.h"
#include "pki/cert_check.h"
#include "pki/pki_testing.h"
#include "resource/config_file.h"

enum { NOW = 1800000000, DAY = 24 * 3600, PAIRS_MAX = 3 };

static const struct walltime now = { NOW * 1000000000LL };

struct fixture {
        char *dir;
        struct launch launch;
        struct web_keypairs pairs;
        Cteleport__V1__KeyPair files[PAIRS_MAX], *list[PAIRS_MAX]; /* configured */
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        f->launch.arena = arena_new(1 * MiB);
        f->launch.config = config_file_empty(f->launch.arena);
        f->launch.config->proxy_service = arena_alloc(f->launch.arena, sizeof(Cteleport__V1__ProxyConfig));
        cteleport__v1__proxy_config__init(f->launch.config->proxy_service);
        f->launch.nodename = "auth-1";
        f->launch.data_dir = f->dir;
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        test_dir_free(f->dir);
        for (size_t i = 0; i < PAIRS_MAX && f->list[i] != NULL; i++) {
                free(f->files[i].cert_file);
                free(f->files[i].key_file);
        }
        web_keypairs_release(&f->pairs);
        launch_release(&f->launch);
        free(f);
        return 0;
}

/* The pairs that a start at this time would load; the former pairs are released. */
static void load(struct fixture *f, struct walltime at)
{
        web_keypairs_release(&f->pairs);
        assert_null(web_keypairs_load(&f->launch, at, &f->pairs));
        assert_int_equal(f->pairs.count, 1);
}

/* Whether it is still the pair of the last load. */
static bool is_kept(struct fixture *f, struct walltime at)
{
        AUTO(web_keypairs) again = { 0 };

        assert_null(web_keypairs_load(&f->launch, at, &again));
        return str_equal(pb_str(f->pairs.pairs[0]->cert_pem), pb_str(again.pairs[0]->cert_pem)) &&
               str_equal(pb_str(f->pairs.pairs[0]->key_pem), pb_str(again.pairs[0]->key_pem));
}

static void note_name(void *ctx, struct str name)
{
        buf_put(ctx, name);
        buf_put_char(ctx, ' ');
}

static void makes_a_pair_with_the_names_of_the_proxy(void **state)
{
        struct fixture *f = *state;
        char *addresses[] = { "proxy.example.com:443", NAME_253, "auth-1", "10.0.0.1:3080" };
        AUTO(buf) der = BUF_MAX(16 * KiB);
        AUTO(buf) names = BUF_MAX(4 * KiB);
        AUTO(key) key = { 0 };

        f->launch.config->proxy_service->public_addr = addresses;
        f->launch.config->proxy_service->n_public_addr = ARRAY_LEN(addresses);
        load(f, now);
        const Cteleport__Internal__V1__HttpsKeyPair *pair = f->pairs.pairs[0];
        assert_null(cert_pem_to_der(pb_str(pair->cert_pem), &der));
        assert_null(key_from_pem(&key, pb_str(pair->key_pem)));
        assert_null(cert_check_key(buf_str(&der), &key));
        assert_null(cert_each_dns_name(buf_str(&der), note_name, &names));
        assert_string_equal(buf_c(&names), "proxy.example.com *.proxy.example.com " NAME_253 " auth-1 *.auth-1 localhost ");
}

static void keeps_the_pair_from_start_to_start(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *key_path = path_in(f->dir, "webproxy_key.pem");

        load(f, now);
        assert_true(is_kept(f, now));
        assert_true(is_kept(f, walltime_add(now, HOURS(24 * 364))));
        assert_int_equal(mode_of(key_path), 0600);
}

static void makes_a_new_pair_when_the_old_one_has_expired(void **state)
{
        struct fixture *f = *state;

        load(f, now);
        assert_false(is_kept(f, walltime_add(now, HOURS(24 * 365 + 1))));
}

static void makes_a_new_pair_when_key_and_certificate_differ(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *key_path = path_in(f->dir, "webproxy_key.pem");
        AUTO(key) other = given_key(KEY_ECDSA_P256);
        AUTO(secret) pem = { 0 };

        load(f, now);
        assert_null(key_to_pem(&other, &pem));
        assert_null(file_write_atomic(key_path, secret_str(&pem), 0600));
        assert_false(is_kept(f, now));
}

/* ---- configured pairs -------------------------------------------------------------------------------- */

static void write_text(const char *path, const char *text, unsigned mode)
{
        assert_null(file_write_atomic(path, str_of(text), mode));
}

static void write_pair(struct fixture *f, size_t index, const struct made_cert *made)
{
        write_text(f->files[index].cert_file, made->cert_pem, 0644);
        write_text(f->files[index].key_file, made->key_pem, 0600);
}

/* Writes a pair for some names, "DNS:a,DNS:b". */
static void write_pair_for(struct fixture *f, size_t index, const char *names)
{
        struct made_cert made = make_cert_at("web", names, NULL, NOW - DAY, NOW + 30 * DAY);

        write_pair(f, index, &made);
        made_cert_release(&made);
}

/* Configures one more pair, in the files 0.pem and 0.key, 1.pem and 1.key …, for some names. */
static void given_pair(struct fixture *f, const char *names)
{
        Cteleport__V1__ProxyConfig *proxy = f->launch.config->proxy_service;
        size_t i = proxy->n_https_keypairs++;

        f->files[i] = (Cteleport__V1__KeyPair)CTELEPORT__V1__KEY_PAIR__INIT;
        f->files[i].cert_file = mem_printf("%s/%zu.pem", f->dir, i);
        f->files[i].key_file = mem_printf("%s/%zu.key", f->dir, i);
        f->list[i] = &f->files[i];
        proxy->https_keypairs = f->list;
        write_pair_for(f, i, names);
}

static void given_public(struct fixture *f, char **addresses, size_t count)
{
        f->launch.config->proxy_service->public_addr = addresses;
        f->launch.config->proxy_service->n_public_addr = count;
}

/* The message without the directory's name, which differs. */
static char *said(struct fixture *f, const struct error *err)
{
        AUTO_MEM char *dir = mem_printf("%s/", f->dir);
        AUTO(buf) out = BUF_MAX(16 * KiB);

        for (const char *at = err->what; *at != '\0';)
                if (strncmp(at, dir, strlen(dir)) == 0)
                        at += strlen(dir);
                else
                        buf_put_char(&out, *at++);
        return buf_take(&out);
}

static void assert_load_refused(struct fixture *f, enum error_code code, const char *text)
{
        AUTO(web_keypairs) loaded = { 0 };
        AUTO_PTR(error) err = web_keypairs_load(&f->launch, now, &loaded);

        assert_non_null(err);
        AUTO_MEM char *what = said(f, err);
        if (strstr(what, text) == NULL || err->code != code || err->hint == NULL)
                fail_msg("'%s' (%d, %s) is not '%s'", what, err->code, err->hint, text);
}

static void takes_configured_pairs_in_their_order(void **state)
{
        struct fixture *f = *state;
        char *addresses[] = { "proxy.example.com:443", "x.apps.example.com", "[::1]:3080", "10.0.0.1" };

        given_pair(f, "DNS:proxy.example.com");
        given_pair(f, "DNS:*.apps.example.com,IP:10.0.0.1,IP:::1");
        given_public(f, addresses, ARRAY_LEN(addresses));
        assert_null(web_keypairs_load(&f->launch, now, &f->pairs));
        assert_int_equal(f->pairs.count, 2);
        AUTO(buf) first = BUF_MAX(16 * KiB);
        assert_null(file_read(f->files[0].cert_file, &first));
        assert_true(str_equal(buf_str(&first), pb_str(f->pairs.pairs[0]->cert_pem)));
}

static void refuses_a_configured_key_that_others_may_read(void **state)
{
        struct fixture *f = *state;

        given_pair(f, "DNS:a.example.com");
        assert_int_equal(chmod(f->files[0].key_file, 0640), 0);
        assert_load_refused(f, ERROR_PERMISSION_DENIED, "https_keypairs: 0.key has mode 0640");
}

static void refuses_names_of_the_public_address_without_certificate(void **state)
{
        static const struct {
                const char *names, *address, *text; /* text NULL: accepted */
        } cases[] = {
                { "DNS:a.example.com", "a.example.com", NULL },
                { "DNS:a.example.com", "A.Example.COM:3080", NULL },
                { "DNS:*.example.com", "a.example.com:443", NULL },
                { "DNS:*.example.com", "b.a.example.com", "no certificate is for 'b.a.example.com' of proxy_service.public_addr: 0.pem is for *.example.com" },
                { "DNS:*.example.com", "example.com", "no certificate is for 'example.com'" },
                { "DNS:a*.example.com", "ab.example.com", "no certificate is for 'ab.example.com'" },
                { "DNS:a.example.com,DNS:b.example.com", "c.example.com", "0.pem is for a.example.com, b.example.com" },
                { "DNS:10.0.0.1", "10.0.0.1", "no certificate is for '10.0.0.1'" }, /* an address is not a DNS name */
                { "IP:10.0.0.1", "10.0.0.1:443", NULL },
                { "IP:10.0.0.2", "10.0.0.1", "0.pem is for no host name" },
                { "email:a@example.com", "a.example.com", "0.pem is for no host name" }, /* the subject's CN does not count */
                { "DNS:" NAME_253, NAME_253, NULL },
                { "DNS:xn--bcher-kva.example.com", "xn--bcher-kva.example.com:443", NULL },
                { "DNS:b\xc3\xbc" "cher.example.com", "xn--bcher-kva.example.com", "0.pem is for b\xc3\xbc" "cher.example.com" }, /* not encoded */
                { "DNS:a.example.com\x1b[31m", "b.example.com", "0.pem is for a.example.com\\x1b[31m" },
        };
        struct fixture *f = *state;

        given_pair(f, cases[0].names);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char *addresses[] = { unconst(cases[i].address) };

                write_pair_for(f, 0, cases[i].names);
                given_public(f, addresses, 1);
                if (cases[i].text != NULL)
                        assert_load_refused(f, ERROR_FAILED_PRECONDITION, cases[i].text);
                else
                        load(f, now);
        }
}

static void refuses_a_pair_outside_of_its_validity(void **state)
{
        static const struct {
                int64_t from, to;
                const char *text; /* NULL: accepted */
        } cases[] = {
                { NOW - DAY, NOW + 1, NULL },
                { NOW, NOW + DAY, NULL },
                { NOW - DAY, 253402300799, NULL }, /* 99991231235959Z */
                { NOW - DAY, NOW, "https_keypairs: 0.pem has expired on 2027-01-15T08:00:00Z" },
                { NOW - 2 * DAY, NOW - DAY, "https_keypairs: 0.pem has expired on 2027-01-14T08:00:00Z" },
                { NOW + 1, NOW + DAY, "https_keypairs: 0.pem is not valid before 2027-01-15T08:00:01Z" },
        };
        struct fixture *f = *state;

        given_pair(f, "DNS:a.example.com");
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct made_cert made = make_cert_at("web", "DNS:a.example.com", NULL, cases[i].from, cases[i].to);

                write_pair(f, 0, &made);
                made_cert_release(&made);
                if (cases[i].text != NULL)
                        assert_load_refused(f, ERROR_FAILED_PRECONDITION, cases[i].text);
                else
                        load(f, now);
        }
}

static void refuses_files_that_are_not_a_pair(void **state)
{
        static const struct {
                const char *cert, *key; /* NULL: that of the pair */
                const char *text;
        } cases[] = {
                { "", NULL, "0.pem with 0.key: there is no certificate in the PEM text" },
                { "-----BEGIN CERTIFICATE-----\nMIIB", NULL, "0.pem with 0.key: a certificate cannot be read" },
                { "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", NULL, "0.pem with 0.key: a certificate cannot be read" },
                { NULL, "", "0.pem with 0.key: the private key cannot be read" },
                { NULL, "-----BEGIN PRIVATE KEY-----\nMIGH", "0.pem with 0.key: the private key cannot be read" },
                { NULL, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGH\n-----END ENCRYPTED PRIVATE KEY-----\n", "it is encrypted with a passphrase" },
        };
        struct fixture *f = *state;

        given_pair(f, "DNS:a.example.com");
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                write_pair_for(f, 0, "DNS:a.example.com");
                if (cases[i].cert != NULL)
                        write_text(f->files[0].cert_file, cases[i].cert, 0644);
                if (cases[i].key != NULL)
                        write_text(f->files[0].key_file, cases[i].key, 0600);
                assert_load_refused(f, ERROR_INVALID_ARGUMENT, cases[i].text);
        }
        struct made_cert other = make_cert_at("web", "DNS:a.example.com", NULL, NOW - DAY, NOW + DAY);
        write_pair_for(f, 0, "DNS:a.example.com");
        write_text(f->files[0].key_file, other.key_pem, 0600);
        made_cert_release(&other);
        assert_load_refused(f, ERROR_INVALID_ARGUMENT, "0.pem with 0.key: the private key and the certificate are not a pair");
}

static void refuses_a_certificate_with_too_many_names(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) names = BUF_MAX(16 * KiB);

        for (int i = 0; i <= LIMIT_WEB_CERT_NAMES; i++)
                buf_printf(&names, "%sDNS:n%d.example.com", i == 0 ? "" : ",", i);
        given_pair(f, buf_c(&names));
        assert_load_refused(f, ERROR_INVALID_ARGUMENT, "0.pem has 101 names, more than 100");
}

static void reports_all_mistakes_at_once(void **state)
{
        struct fixture *f = *state;

        given_pair(f, "DNS:a.example.com");
        given_pair(f, "DNS:b.example.com");
        assert_int_equal(unlink(f->files[0].cert_file), 0);
        write_text(f->files[1].key_file, "", 0600);
        AUTO_PTR(error) err = web_keypairs_load(&f->launch, now, &f->pairs);
        assert_non_null(err);
        assert_non_null(strstr(err->what, "https_keypairs has 2 mistakes"));
        assert_non_null(strstr(err->what, "0.pem"));
        assert_non_null(strstr(err->what, "1.key"));
}

/* ---- reload -------------------------------------------------------------------------------------------- */

/* Reloads; returns the errors. */
static struct error *reload(struct fixture *f, bool is_changed)
{
        bool changed = !is_changed;
        struct error *refused = web_keypairs_reload(&f->launch, now, &f->pairs, &changed);

        assert_int_equal(changed, is_changed);
        return refused;
}

/* Whether the pair in force is the one in the files. */
static bool is_in_force(struct fixture *f, size_t index)
{
        AUTO(buf) cert = BUF_MAX(64 * KiB);
        AUTO(buf) key = BUF_MAX(64 * KiB);

        assert_null(file_read(f->files[index].cert_file, &cert));
        assert_null(file_read(f->files[index].key_file, &key));
        return str_equal(buf_str(&cert), pb_str(f->pairs.pairs[index]->cert_pem)) && str_equal(buf_str(&key), pb_str(f->pairs.pairs[index]->key_pem));
}

static void replaces_pairs_when_their_files_have_changed(void **state)
{
        struct fixture *f = *state;

        given_pair(f, "DNS:a.example.com");
        given_pair(f, "DNS:b.example.com");
        assert_null(web_keypairs_load(&f->launch, now, &f->pairs));
        assert_null(reload(f, false));
        write_pair_for(f, 1, "DNS:b.example.com,DNS:c.example.com");
        assert_null(reload(f, true));
        assert_true(is_in_force(f, 0) && is_in_force(f, 1));
        assert_null(reload(f, false));
}

static void keeps_a_pair_when_its_new_files_are_refused(void **state)
{
        struct fixture *f = *state;

        given_pair(f, "DNS:a.example.com");
        given_pair(f, "DNS:b.example.com");
        assert_null(web_keypairs_load(&f->launch, now, &f->pairs));
        AUTO_MEM char *old = str_dup(pb_str(f->pairs.pairs[0]->cert_pem));
        write_pair_for(f, 0, "DNS:a.example.com");
        write_text(f->files[0].cert_file, "-----BEGIN CERTIFICATE-----\nMIIB", 0644); /* half-written */
        write_pair_for(f, 1, "DNS:b.example.com");
        AUTO_PTR(error) err = reload(f, true);
        assert_non_null(err);
        AUTO_MEM char *what = said(f, err);
        assert_string_equal(what, "https_keypairs: 0.pem with 0.key: a certificate cannot be read: bad end line");
        assert_null(err->also);
        assert_true(str_equal(str_of(old), pb_str(f->pairs.pairs[0]->cert_pem)));
        assert_true(is_in_force(f, 1));
        write_pair_for(f, 0, "DNS:a.example.com");
        assert_null(reload(f, true));
        assert_true(is_in_force(f, 0));
}

static void keeps_all_pairs_when_a_public_name_would_be_missing(void **state)
{
        struct fixture *f = *state;
        char *addresses[] = { "a.example.com:443" };

        given_pair(f, "DNS:a.example.com");
        given_pair(f, "DNS:b.example.com");
        given_public(f, addresses, 1);
        assert_null(web_keypairs_load(&f->launch, now, &f->pairs));
        write_pair_for(f, 0, "DNS:z.example.com");
        write_pair_for(f, 1, "DNS:b.example.com");
        AUTO_PTR(error) err = reload(f, false);
        assert_non_null(err);
        AUTO_MEM char *what = said(f, err);
        assert_string_equal(what, "https_keypairs: no certificate is for 'a.example.com' of proxy_service.public_addr: 0.pem is for z.example.com; "
                                  "1.pem is for b.example.com");
        write_pair_for(f, 0, "DNS:a.example.com");
        assert_null(reload(f, true));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(makes_a_pair_with_the_names_of_the_proxy),
                TEST(keeps_the_pair_from_start_to_start),
                TEST(makes_a_new_pair_when_the_old_one_has_expired),
                TEST(makes_a_new_pair_when_key_and_certificate_differ),
                TEST(takes_configured_pairs_in_their_order),
                TEST(refuses_a_configured_key_that_others_may_read),
                TEST(refuses_names_of_the_public_address_without_certificate),
                TEST(refuses_a_pair_outside_of_its_validity),
                TEST(refuses_files_that_are_not_a_pair),
                TEST(refuses_a_certificate_with_too_many_names),
                TEST(reports_all_mistakes_at_once),
                TEST(replaces_pairs_when_their_files_have_changed),
                TEST(keeps_a_pair_when_its_new_files_are_refused),
                TEST(keeps_all_pairs_when_a_public_name_would_be_missing),
        };

        return cmocka_run_group_tests_name("web_certificate", tests, NULL, NULL);
}
