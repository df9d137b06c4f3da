/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/openssh.h"
#include "os/file.h"
#include "pki/pki_testing.h"

#define HOST_ID "12345678-1234-4234-8234-123456789abc"

static const struct profile alice = {
        .home = "/home/al ice/.tsh",
        .proxy_host = "proxy.example.com",
        .web_addr = "proxy.example.com:3080",
        .user = "alice@example.org",
        .cluster = "example.com",
        .known_hosts = "/home/al ice/.tsh/known_hosts",
        .ssh_key = "/home/al ice/.tsh/keys/proxy.example.com/alice@example.org",
        .ssh_cert = "/home/al ice/.tsh/keys/proxy.example.com/alice@example.org-ssh/example.com-cert.pub",
};

/* The word that begins with the prefix, without it; NULL: none. */
static const char *word_after(const struct words *w, const char *prefix)
{
        for (size_t i = 0; i < w->count; i++)
                if (strncmp(w->list[i], prefix, strlen(prefix)) == 0)
                        return w->list[i] + strlen(prefix);
        return NULL;
}

static void gives_ssh_the_profile_and_nothing_else(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        struct words w = { .arena = a };

        (void)state;
        openssh_add_options(&w, &alice, "/usr/bin/tsh", "tsh-relay-1", NULL);
        assert_string_equal(w.list[0], "-F");
        assert_string_equal(w.list[1], "none");
        assert_null(w.list[w.count]);
        assert_string_equal(word_after(&w, "UserKnownHostsFile="), "\"/home/al ice/.tsh/known_hosts\"");
        assert_string_equal(word_after(&w, "GlobalKnownHostsFile="), "/dev/null");
        assert_string_equal(word_after(&w, "StrictHostKeyChecking="), "yes");
        assert_string_equal(word_after(&w, "HostKeyAlgorithms="), "ssh-ed25519-cert-v01@openssh.com");
        assert_string_equal(word_after(&w, "IdentitiesOnly="), "yes");
        assert_string_equal(word_after(&w, "IdentityFile="),
                            "\"/home/al ice/.tsh/keys/proxy.example.com/alice@example.org\"");
        assert_string_equal(word_after(&w, "ProxyUseFdpass="), "yes");
        assert_string_equal(word_after(&w, "ProxyCommand="), "'/usr/bin/tsh' proxy attach 'tsh-relay-1'");
}

static void leaves_the_node_to_ssh_where_there_may_be_several(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        struct words w = { .arena = a };

        (void)state;
        openssh_add_options(&w, &alice, "/usr/bin/tsh", NULL, NULL);
        assert_string_equal(word_after(&w, "ProxyUseFdpass="), "no");
        assert_string_equal(word_after(&w, "ProxyCommand="),
                            "'/usr/bin/tsh' proxy ssh '--cluster=example.com' '--proxy=proxy.example.com:3080' "
                            "'--user=alice@example.org' '%r@%h'");
}

static void quotes_for_the_shell_behind_ssh(void **state)
{
        const struct {
                const char *self, *quoted;
        } rows[] = {
                { "/opt/my tools/tsh", "'/opt/my tools/tsh' proxy" },
                { "/opt/it's/tsh", "'/opt/it'\\''s/tsh' proxy" },
                { "/opt/$(id)/`id`/tsh", "'/opt/$(id)/`id`/tsh' proxy" },
                { "/opt/100%h/tsh", "'/opt/100%%h/tsh' proxy" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) a = arena_new(64 * KiB);
                struct words w = { .arena = a };

                openssh_add_options(&w, &alice, rows[i].self, "tsh-relay-1", NULL);
                assert_true(str_starts_with(str_of(word_after(&w, "ProxyCommand=")), str_of(rows[i].quoted)));
        }
}

static void writes_configuration_for_the_nodes_of_the_cluster(void **state)
{
        AUTO(buf) out = BUF_MAX(64 * KiB);

        (void)state;
        assert_null(openssh_put_config(&out, &alice, "/usr/bin/tsh", "/home/al ice/.tsh"));
        const char *const lines[] = {
                "# Begin generated Teleport configuration for proxy.example.com by tsh\n",
                "\nHost *.example.com !proxy.example.com\n",
                "\n    UserKnownHostsFile /dev/null\n",
                ("\n    KnownHostsCommand /usr/bin/env 'TELEPORT_HOME=/home/al ice/.tsh' '/usr/bin/tsh' proxy known-host "
                 "'--cluster=example.com' '--proxy=proxy.example.com:3080' '--user=alice@example.org' '%r@%h' '%H' '%K'\n"),
                "\n    IdentitiesOnly yes\n",
                ("\n    ProxyCommand /usr/bin/env 'TELEPORT_HOME=/home/al ice/.tsh' '/usr/bin/tsh' proxy ssh '--cluster=example.com' "
                 "'--proxy=proxy.example.com:3080' '--user=alice@example.org' '%r@%h:%p'\n"),
                "\n# End generated Teleport configuration\n",
        };
        for (size_t i = 0; i < ARRAY_LEN(lines); i++)
                if (!str_contains(buf_str(&out), str_of(lines[i])))
                        fail_msg("no line %s in\n%s", lines[i], buf_c(&out));
        buf_clear(&out);
        assert_code(openssh_put_config(&out, &alice, "/opt/new\nline/tsh", NULL), ERROR_INVALID_ARGUMENT);
        assert_int_equal(out.len, 0);
}

/* The words that ssh made of its options and configuration. */
static void ssh_sends(char *const *words, struct buf *out)
{
        int fds[2], status;

        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
                dup2(fds[1], STDOUT_FILENO);
                close(fds[0]);
                execvp("ssh", words);
                _exit(127);
        }
        close(fds[1]);
        for (;;) {
                char *at = buf_extend(out, 4 * KiB);
                ssize_t n = read(fds[0], at, 4 * KiB);
                out->len -= 4 * KiB - (n > 0 ? (size_t)n : 0);
                if (n <= 0)
                        break;
        }
        close(fds[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WEXITSTATUS(status) == 127)
                skip();
        assert_int_equal(status, 0);
}

static const char *const understood[] = {
        "\nhostname web-1.example.com\n",
        "\nuser root\n",
        "\nstricthostkeychecking true\n",
        "\nidentitiesonly yes\n",
        "\nhostkeyalgorithms ssh-ed25519-cert-v01@openssh.com\n",
        "\nidentityfile \"/home/al ice/.tsh/keys/proxy.example.com/alice@example.org\"\n",
        "\ncertificatefile \"/home/al ice/.tsh/keys/proxy.example.com/alice@example.org-ssh/example.com-cert.pub\"\n",
};

/* Whether ssh prints blanks in quotes depends on its version. */
static void drop_quotes(struct buf *text)
{
        size_t kept = 0;

        for (size_t i = 0; i < text->len; i++)
                if (text->ptr[i] != '"')
                        text->ptr[kept++] = text->ptr[i];
        text->len = kept;
}

static void assert_understood(struct buf *sent, const char *known_hosts)
{
        drop_quotes(sent);
        assert_true(str_contains(buf_str(sent), str_of(known_hosts)));
        for (size_t i = 0; i < ARRAY_LEN(understood); i++) {
                AUTO(buf) line = BUF_MAX(1 * KiB);

                buf_put_c(&line, understood[i]);
                drop_quotes(&line);
                if (!str_contains(buf_str(sent), buf_str(&line)))
                        fail_msg("ssh does not say %s but\n%s", buf_c(&line), buf_c(sent));
        }
}

static void is_understood_by_the_ssh_of_this_system(void **state)
{
        AUTO_PTR(arena) a = arena_new(64 * KiB);
        AUTO(buf) sent = BUF_MAX(64 * KiB), config = BUF_MAX(64 * KiB);
        struct words w = { .arena = a }, by_file = { .arena = a };
        char path[] = "/tmp/openssh_test.XXXXXX";

        (void)state;
        words_add(&w, "ssh");
        openssh_add_options(&w, &alice, "/opt/it's 100%/tsh", "tsh-relay-1", NULL);
        openssh_add_host_id(&w, &alice, HOST_ID);
        words_add(&w, "-o");
        words_add(&w, "HostKeyAlias=web-2"); /* too late: the first one counts */
        words_add(&w, "-G");
        words_add(&w, "-l");
        words_add(&w, "root");
        words_add(&w, "--");
        words_add(&w, "web-1.example.com");
        ssh_sends((char *const *)(uintptr_t)w.list, &sent);
        assert_understood(&sent, "\nuserknownhostsfile /home/al ice/.tsh/known_hosts\n");
        assert_true(str_contains(buf_str(&sent), STR("\nhostkeyalias " HOST_ID ".example.com\n")));

        assert_null(openssh_put_config(&config, &alice, "/opt/it's 100%/tsh", "/home/al ice/.tsh"));
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, config.ptr, config.len), config.len);
        close(fd);
        buf_clear(&sent);
        const char *const words[] = { "ssh", "-G", "-F", path, "root@web-1.example.com" };
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
                words_add(&by_file, words[i]);
        ssh_sends((char *const *)(uintptr_t)by_file.list, &sent);
        unlink(path);
        assert_understood(&sent, "\nuserknownhostsfile /dev/null\n");
}

/* ---- known hosts ------------------------------------------------------------------------------------------------ */

/* A certificate for the names, by a fresh CA, in base64 as ssh hands it over. */
static char *given_certificate(const struct str *names, size_t count, struct buf *ca_line)
{
        AUTO(test_ca) ca = { 0 };
        AUTO(test_keys) host = { 0 };
        AUTO(buf) wire = BUF_MAX(CERT_MAX), text = BUF_MAX(2 * CERT_MAX);
        struct ssh_host_subject subject = { .key_id = STR(HOST_ID), .principals = names, .principal_count = count };
        struct cert_times times = times_of(1700000000, 1700003600);

        test_ca_init(&ca, times);
        test_keys_init(&host);
        assert_done(ssh_wire_to_line(buf_str(&ca.keys.ssh_public), ca_line));
        assert_done(ssh_issue_host(ca.ssh, &subject, buf_str(&host.ssh_public), 1, times, &wire));
        base64_encode(&text, buf_str(&wire));
        return buf_take(&text);
}

static void believes_a_host_of_the_right_id_only(void **state)
{
        const struct str names[] = { STR_INIT(HOST_ID ".example.com"), STR_INIT("web-1.example.com") };
        const struct str other[] = { STR_INIT("00000000-1234-4234-8234-123456789abc.example.com"), STR_INIT("web-1.example.com") };
        const struct str bare[] = { STR_INIT(HOST_ID), STR_INIT(HOST_ID ".example.org") };
        AUTO(buf) ca = BUF_MAX(4 * KiB), other_ca = BUF_MAX(4 * KiB), out = BUF_MAX(64 * KiB), file = BUF_MAX(64 * KiB), expected = BUF_MAX(64 * KiB);
        AUTO_MEM char *good = given_certificate(names, 2, &ca);
        AUTO_MEM char *anothers = given_certificate(other, 2, &other_ca);
        AUTO_MEM char *short_ids = given_certificate(bare, 2, &other_ca);
        AUTO_MEM char *path = str_dup(STR("/tmp/openssh_test_hosts.XXXXXX"));
        struct profile p = alice;
        const struct {
                const char *host, *key;
                bool is_believed;
        } rows[] = {
                { "[web-1.example.com]:3022", good, true }, { "web-1.example.com", good, true },
                { "web-1.example.com", anothers, false },   { "web-1.example.com", short_ids, false },
                { "web-1.example.com", "", false },         { "web-1.example.com", "AAAA", false },
                { "web-1.example.com", "no base64!", false }, { "*", good, false },
                { "web-1 *", good, false },                 { "web-1,*", good, false },
                { "web-1\n*", good, false },
        };

        (void)state;
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        buf_printf(&file, "# mine\nweb-1 ssh-ed25519 AAAA\n@cert-authority *.example.org %s\n@cert-authority example.com,*.example.com %s type=host\n",
                   buf_c(&other_ca), buf_c(&ca));
        assert_null(file_write_atomic(path, buf_str(&file), 0600));
        p.known_hosts = path;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                buf_clear(&out);
                AUTO_PTR(error) err = openssh_put_known_host(&out, &p, rows[i].host, rows[i].key, HOST_ID);
                if ((err == NULL) != rows[i].is_believed)
                        fail_msg("row %zu: %s", i, err == NULL ? "believed" : err->what);
                if (err != NULL) {
                        assert_int_equal(out.len, 0);
                        continue;
                }
                buf_clear(&expected);
                buf_printf(&expected, "@cert-authority %s %s type=host\n", rows[i].host, buf_c(&ca));
                assert_string_equal(buf_c(&out), buf_c(&expected));
        }
        unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gives_ssh_the_profile_and_nothing_else),
                cmocka_unit_test(leaves_the_node_to_ssh_where_there_may_be_several),
                cmocka_unit_test(quotes_for_the_shell_behind_ssh),
                cmocka_unit_test(writes_configuration_for_the_nodes_of_the_cluster),
                cmocka_unit_test(is_understood_by_the_ssh_of_this_system),
                cmocka_unit_test(believes_a_host_of_the_right_id_only),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
