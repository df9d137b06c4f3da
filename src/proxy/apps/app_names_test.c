/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of applications that the log of a proxy names, as none of its web certificates is for them. */
#include "proxy/apps/app_names.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "net/made_cert_testing.h"
#include "proxy/proxy.h"
#include "rpc/pb.h"

enum { ROWS_MAX = 8, LOG_MAX = 16 * KiB };

static struct {
        struct proxy proxy;
        struct made_cert certs[2];
        Cteleport__Internal__V1__HttpsKeyPair pairs[2], *list[2];
        FILE *log;
        char text[LOG_MAX];
} *testbed;

static int set_up(void **state)
{
        testbed = NEW(__typeof__(*testbed));
        testbed->certs[0] = make_cert("proxy.example.com", "DNS:proxy.example.com,DNS:*.proxy.example.com", NULL);
        testbed->certs[1] = make_cert("wiki.example.org", "DNS:wiki.example.org", NULL);
        for (size_t i = 0; i < ARRAY_LEN(testbed->pairs); i++) {
                cteleport__internal__v1__https_key_pair__init(&testbed->pairs[i]);
                testbed->pairs[i].cert_pem = pb_bytes(str_of(testbed->certs[i].cert_pem));
                testbed->list[i] = &testbed->pairs[i];
        }
        testbed->proxy.keypairs = testbed->list;
        testbed->log = fdopen(memfd_create("log", MFD_CLOEXEC), "w+");
        assert_non_null(testbed->log);
        log_setup((struct log_options){ .level = LOG_WARN, .fd = fileno(testbed->log) });
        *state = testbed;
        return 0;
}

static int tear_down(void **state UNUSED)
{
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        app_addresses_release(&testbed->proxy.app_addresses);
        for (size_t i = 0; i < ARRAY_LEN(testbed->certs); i++)
                made_cert_release(&testbed->certs[i]);
        fclose(testbed->log);
        free(testbed);
        return 0;
}

/* Pairs of application and address, as the Auth Service sends them. Returns the lines that are new in the log. */
static const char *check(const char *const (*pairs)[2], size_t count)
{
        Cteleport__V1__AppAddresses sent = CTELEPORT__V1__APP_ADDRESSES__INIT;
        Cteleport__V1__AppAddress rows[ROWS_MAX], *list[ROWS_MAX];

        for (size_t i = 0; i < count; i++) {
                cteleport__v1__app_address__init(&rows[i]);
                rows[i].app = pb_text(pairs[i][0]);
                rows[i].addr = pb_text(pairs[i][1]);
                list[i] = &rows[i];
        }
        sent.addresses = list;
        sent.n_addresses = count;
        off_t before = lseek(fileno(testbed->log), 0, SEEK_END);
        app_names_check(&testbed->proxy, &sent);
        app_addresses_set(&testbed->proxy.app_addresses, &sent);
        ssize_t len = pread(fileno(testbed->log), testbed->text, LOG_MAX - 1, before);
        assert_true(len >= 0);
        testbed->text[len] = '\0';
        return testbed->text;
}

static void addresses_that_no_certificate_covers_are_named_once(void **state UNUSED)
{
        static const char *const pairs[][2] = { { "wiki", "wiki.example.org" }, { "shop", "shop.proxy.example.com" }, { "pages", "pages.example.org" }, { "", "both.example.org" } };

        testbed->proxy.keypair_count = 2;
        const char *lines = check(pairs, ARRAY_LEN(pairs));
        assert_non_null(strstr(lines, "public_addr:pages.example.org"));
        assert_non_null(strstr(lines, "https_keypairs"));
        assert_null(strstr(lines, "wiki.example.org"));
        assert_null(strstr(lines, "shop.proxy.example.com"));
        assert_null(strstr(lines, "both.example.org")); /* it leads to no application */
        assert_string_equal(check(pairs, ARRAY_LEN(pairs)), "");
}

/* One that is issued by a CA later counts as well. */
static void the_issued_certificate_covers_its_names(void **state UNUSED)
{
        static const char *const first[][2] = { { "wiki", "wiki.example.org" } }, *const other[][2] = { { "wiki", "wiki.example.org" }, { "pages", "pages.example.org" } };

        testbed->proxy.issued = &testbed->pairs[1];
        assert_string_equal(check(first, 1), "");
        assert_non_null(strstr(check(other, 2), "app:pages"));
}

/* It is ordered when a client asks for the name. */
static void with_acme_an_address_gets_its_certificate_later(void **state UNUSED)
{
        static const char *const pairs[][2] = { { "pages", "pages.example.org" } };

        testbed->proxy.app_acme = (struct app_acme *)testbed; /* it is there */
        assert_string_equal(check(pairs, 1), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(addresses_that_no_certificate_covers_are_named_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_issued_certificate_covers_its_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(with_acme_an_address_gets_its_certificate_later, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
