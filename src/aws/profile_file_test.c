/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/profile_file.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/error_testing.h"

/* The expected content of one profile: "name: key=value, key=value"; "-name": there is no such profile. */
struct file_case {
        const char *name;
        const char *config, *credentials;
        const char *expected[3];
        const char *error; /* part of the message, or NULL */
};

static const struct profile_section *profile(const struct profile_set *s, const char *name)
{
        return profile_set_find(s, PROFILE_KIND_PROFILE, str_of(name));
}

static void check(const struct profile_set *s, const char *expected)
{
        struct str rest = str_of(expected);
        struct str name = str_split(&rest, '|');

        if (name.ptr[0] == '-') {
                assert_null(profile_set_find(s, PROFILE_KIND_PROFILE, str_slice(name, 1, name.len)));
                return;
        }
        const struct profile_section *p = profile_set_find(s, PROFILE_KIND_PROFILE, name);
        assert_non_null(p);
        while (!str_is_empty(rest)) {
                struct str value = str_split(&rest, '|');
                struct str key = str_split(&value, '=');
                char key_text[128];

                snprintf(key_text, sizeof key_text, "%.*s", STR_ARG(key));
                if (str_starts_with(key, STR("!"))) {
                        assert_false(profile_has(p, key_text + 1));
                        continue;
                }
                assert_true(profile_has(p, key_text));
                assert_true(str_equal(profile_text(p, key_text), value));
        }
}

/* The cases that AWS's SDKs share, restated: profile, then the values it must or ('!') must not have. */
static void reads_the_files_as_the_standard_says(void **state)
{
        static const struct file_case cases[] = {
                { "an empty file", "", NULL, { "-default" }, NULL },
                { "an empty profile", "[profile foo]", NULL, { "foo" }, NULL },
                { "all characters of names", "[profile some-thing:long/the_one%only.foo@bar+]\n[profile foo!bar]", NULL,
                  { "some-thing:long/the_one%only.foo@bar+", "foo!bar" }, NULL },
                { "a section without an end", "[profile foo", NULL, { 0 }, "must end with ']'" },
                { "blanks around the name", "[profile \tfoo \t]", NULL, { "foo" }, NULL },
                { "blanks inside the brackets", "[  profile foo  ]", NULL, { "foo" }, NULL },
                { "a tab behind the prefix", "[profile\tfoo]", NULL, { "foo" }, NULL },
                { "a property before any section", "name = value", NULL, { 0 }, "expected a section" },
                { "a property", "[profile foo]\nname = value", NULL, { "foo|name=value" }, NULL },
                { "CRLF", "[profile foo]\r\nname = value\r\n", NULL, { "foo|name=value" }, NULL },
                { "lone CRs", "[default]\ra = b\rc = d\r", NULL, { "default|a=b|c=d" }, NULL },
                { "an equals sign in the value", "[profile foo]\nname = val=ue", NULL, { "foo|name=val=ue" }, NULL },
                { "UTF-8 in the value", "[profile foo]\nname = \xf0\x9f\x98\x82", NULL,
                  { "foo|name=\xf0\x9f\x98\x82" }, NULL },
                { "two properties", "[profile foo]\nname = value\nname2 = value2", NULL,
                  { "foo|name=value|name2=value2" }, NULL },
                { "blanks around key and value", "[profile foo]\nname \t=  \tvalue \t", NULL, { "foo|name=value" },
                  NULL },
                { "an empty value", "[profile foo]\nname =", NULL, { "foo|name=" }, NULL },
                { "an empty key", "[profile foo]\n= value", NULL, { 0 }, "no key before" },
                { "no separator", "[profile foo]\nkey value", NULL, { 0 }, "expected an '='" },
                { "a colon as the separator", "[profile foo]\nkey : value\nb: c=d\ne=f:g", NULL,
                  { "foo|key=value|b=c=d|e=f:g" }, NULL },
                { "an empty key before a colon", "[profile foo]\n: value", NULL, { 0 }, "before its ':'" },
                { "two profiles", "[profile foo]\nname = value\n[profile bar]\nname2 = value2", NULL,
                  { "foo|name=value|!name2", "bar|name2=value2" }, NULL },
                { "blank lines", "\t \n[profile foo]\n\t\n \nname = value\n\t \n[profile bar]\n \t", NULL,
                  { "foo|name=value", "bar" }, NULL },
                { "comments", "# Comment\n[profile foo] # Comment\nname = value # Comment with # sign", NULL,
                  { "foo|name=value" }, NULL },
                { "other comments", "; Comment\n[profile foo] ; Comment\nname = value ; Comment with ; sign", NULL,
                  { "foo|name=value" }, NULL },
                { "both comments", "[profile foo]\na = v # x ; y\nb = w ; x # y\nc = x\t#c", NULL,
                  { "foo|a=v|b=w|c=x" }, NULL },
                { "empty comments", ";\n[profile foo];\nname = value ;\n", NULL, { "foo|name=value" }, NULL },
                { "comments close to a section", "[profile foo]; Adjacent\n[profile bar]# Adjacent", NULL,
                  { "foo", "bar" }, NULL },
                { "comments close to a value", "[profile foo]\nname = value; Adjacent\nname2 = value# Adjacent", NULL,
                  { "foo|name=value; Adjacent|name2=value# Adjacent" }, NULL },
                { "a comment for a value", "[profile foo]\nk = #x", NULL, { "foo|k=" }, NULL },
                { "a continued value", "[profile foo]\nname = value\n -continued", NULL,
                  { "foo|name=value\n-continued" }, NULL },
                { "a value continued twice", "[profile foo]\nname = value\n -continued\n -and-continued", NULL,
                  { "foo|name=value\n-continued\n-and-continued" }, NULL },
                { "blanks around a continuation", "[profile foo]\nname = value\n \t -continued \t ", NULL,
                  { "foo|name=value\n-continued" }, NULL },
                { "a comment behind a continuation", "[profile foo]\nname = value\n -continued # Comment", NULL,
                  { "foo|name=value\n-continued # Comment" }, NULL },
                { "an indented comment", "[profile foo]\nname = value\n # note\nb = c", NULL,
                  { "foo|name=value|b=c" }, NULL },
                { "a comment inside a continued value", "[profile foo]\nname = value\n # note\n  ; note\n more", NULL,
                  { "foo|name=value\nmore" }, NULL },
                { "all keys indented", "[profile p]\n    a = 1\n    b = 2\n      c\n\td = 4", NULL,
                  { "p|a=1|b=2\nc|d=4" }, NULL },
                { "indented sections", "  [profile p]\n  a = 1\n  [profile q]\n  b = 2", NULL, { "p|a=1|!b", "q|b=2" },
                  NULL },
                { "a bracket in a continuation", "[profile p]\na = 1\n [profile q]\n", NULL,
                  { "p|a=1\n[profile q]", "-q" }, NULL },
                { "sub-properties below an indented key", "[profile p]\n  s3 =\n    a = b\n  c = d", NULL,
                  { "p|s3=\na = b|c=d" }, NULL },
                { "a continuation before any section", " -continued = x", NULL, { 0 }, "expected a section" },
                { "a continuation before any key", "[profile foo]\n -continued", NULL, { 0 }, "expected an '='" },
                { "a continuation behind a section", "[profile foo]\nname = value\n[profile foo]\n -continued", NULL,
                  { 0 }, "expected an '='" },
                { "one profile in two places", "[profile foo]\nname = value\n[profile foo]\nname2 = value2", NULL,
                  { "foo|name=value|name2=value2" }, NULL },
                { "a key twice", "[profile foo]\nname = value\nname = value2", NULL, { "foo|name=value2" }, NULL },
                { "a key twice in two places", "[profile foo]\nname = value\n[profile foo]\nname = value2", NULL,
                  { "foo|name=value2" }, NULL },
                { "a key twice in different case", "[profile foo]\nName = value\n[profile foo]\nname = value2", NULL,
                  { "foo|name=value2" }, NULL },
                { "[profile default] before [default]", "[profile default]\nname = value\n[default]\nname2 = value2",
                  NULL, { "default|name=value|!name2" }, NULL },
                { "[profile default] after [default]", "[default]\nname2 = value2\n[profile default]\nname = value",
                  NULL, { "default|name=value|!name2" }, NULL },
                { "a lone [default]", "[default]\nname = value", NULL, { "default|name=value" }, NULL },
                { "names with blanks", "[profile in valid]\nname = value", "[my corp]\nname2 = value2",
                  { "-in valid", "-in", "my corp|name2=value2" }, NULL },
                { "names in quotes", "[profile 'my corp']\na = 1\n[profile \"c\"]\na = 2\n[profile 'f' g]", NULL,
                  { "my corp|a=1", "c|a=2", "-f" }, NULL },
                { "a bracket in quotes", "[profile 'a]b']\na = 1", NULL, { "a]b|a=1" }, NULL },
                { "a quote without an end", "[profile 'a]\na = 1", NULL, { 0 }, "must end with ']'" },
                { "quotes in the credentials file", NULL, "['a]\nb = 1", { "'a|b=1" }, NULL },
                { "names in other scripts", "[profile b\xc3\xbcro]\na = 1\n[profile b\xff]", "[b\xc3\xbcro]\nb = 2",
                  { "b\xc3\xbcro|a=1|b=2", "-b\xff" }, NULL },
                { "control characters in names", "[profile a\001b]\n[profile c]", NULL, { "-a\001b", "c" }, NULL },
                { "keys with blanks", "[profile foo]\nin valid = value", NULL, { "foo|!in valid" }, NULL },
                { "keys of all characters", "[profile foo]\nABCXYZabcxyz0123456789-_ = value", NULL,
                  { "foo|abcxyzabcxyz0123456789-_=value" }, NULL },
                { "sub-properties", "[profile foo]\ns3 =\n name = value", NULL, { "foo|s3=\nname = value" }, NULL },
                { "a sub-property without an equals sign", "[profile foo]\ns3 =\n invalid", NULL, { 0 },
                  "expected an '='" },
                { "an empty sub-property", "[profile foo]\ns3 =\n name =", NULL, { "foo|s3=\nname =" }, NULL },
                { "a sub-property without a name", "[profile foo]\ns3 =\n = value", NULL, { 0 }, "no key before" },
                { "a sub-property with a blank in its name", "[profile foo]\ns3 =\n in valid = value", NULL,
                  { "foo|s3=\nin valid = value" }, NULL },
                { "blank lines among sub-properties", "[profile foo]\ns3 =\n name = value\n\t \n name2 = value2", NULL,
                  { "foo|s3=\nname = value\nname2 = value2" }, NULL },
                { "one profile in both files", "[profile foo]\na = 1", "[foo]\nb = 2", { "foo|a=1|b=2" }, NULL },
                { "one key in both files", "[profile foo]\na = 1", "[foo]\na = 2", { "foo|a=2" }, NULL },
                { "default in both files", "[default]\na = 1", "[default]\nb = 2", { "default|a=1|b=2" }, NULL },
                { "other sections of the config file",
                  "[foo]\na = 1\n[Profile b]\na = 1\n[Default]\na = 1\n[profile]\n[profilefoo]\n[]\n[preview]\nx = y",
                  NULL, { "-foo", "-b", "-Default" }, NULL },
                { "a prefix in the credentials file", NULL, "[profile foo]\na = 1\n[sso-session x]\n[DEFAULT]\nb = 2",
                  { "-foo", "profile foo|a=1", "DEFAULT|b=2" }, NULL },
                { "text behind the bracket", "[profile a] /* text */\nb = 1", NULL, { "a|b=1" }, NULL },
                { "a number sign in the name", "[profile a#b]", NULL, { "a#b" }, NULL },
                { "quotes in a value", "[profile foo]\nk = \"v w\"", NULL, { "foo|k=\"v w\"" }, NULL },
                { "a byte order mark", "\xef\xbb\xbf[default]", NULL, { 0 }, "byte order mark" },
                { "errors say where", "[default]\n\n# x\nbroken", NULL, { 0 }, "config:4: " },
                { "errors in the second file", "[default]", "[default]\nbroken", { 0 }, "credentials:2: " },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct file_case *c = &cases[i];
                AUTO(profile_set) s = { 0 };
                struct error *err = NULL;

                print_message("%s\n", c->name);
                if (c->config != NULL)
                        err = profile_set_add(&s, PROFILE_FILE_CONFIG, "config", str_of(c->config));
                if (err == NULL && c->credentials != NULL)
                        err = profile_set_add(&s, PROFILE_FILE_CREDENTIALS, "credentials", str_of(c->credentials));
                AUTO_PTR(error) owned = err;
                assert_int_equal(err == NULL, c->error == NULL);
                if (err != NULL) {
                        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                        assert_non_null(strstr(err->what, c->error));
                }
                for (size_t k = 0; k < ARRAY_LEN(c->expected) && c->expected[k] != NULL; k++)
                        check(&s, c->expected[k]);
        }
}

static void keeps_the_files_apart_for_pairs_of_keys(void **state)
{
        AUTO(profile_set) s = { 0 };

        (void)state;
        assert_null(profile_set_add(&s, PROFILE_FILE_CREDENTIALS, "f", STR("[foo]\naws_secret_access_key = S\n")));
        assert_null(profile_set_add(&s, PROFILE_FILE_CONFIG, "f", STR("[profile foo]\naws_access_key_id = I\n")));
        const struct profile_section *p = profile(&s, "foo");
        assert_true(str_is_empty(profile_text_in(p, PROFILE_FILE_CREDENTIALS, "aws_access_key_id")));
        assert_true(str_equal(profile_text_in(p, PROFILE_FILE_CONFIG, "aws_access_key_id"), STR("I")));
        assert_true(str_equal(profile_text(p, "aws_secret_access_key"), STR("S")));
}

static void finds_the_other_tables_and_their_parts(void **state)
{
        AUTO(profile_set) s = { 0 };

        (void)state;
        assert_null(profile_set_add(&s, PROFILE_FILE_CONFIG, "f",
                                    STR("[services here]\nsts =\n  endpoint_url = http://x\n  b=c\n"
                                        "[sso-session corp]\nsso_region = us-east-1\n")));
        const struct profile_section *services = profile_set_find(&s, PROFILE_KIND_SERVICES, STR("here"));
        assert_true(str_equal(profile_nested(profile_text(services, "sts"), "endpoint_url"), STR("http://x")));
        assert_true(str_equal(profile_nested(profile_text(services, "sts"), "B"), STR("c")));
        assert_true(str_is_empty(profile_nested(profile_text(services, "s3"), "endpoint_url")));
        assert_non_null(profile_set_find(&s, PROFILE_KIND_SSO_SESSION, STR("corp")));
        assert_null(profile(&s, "corp"));
}

static void warns_of_common_mistakes(void **state)
{
        AUTO(profile_set) s = { 0 };

        (void)state;
        assert_null(profile_set_add(&s, PROFILE_FILE_CONFIG, "f", STR("[prod]\na = b\n[default] x\na = b\n")));
        assert_int_equal(s.warning_count, 2);
        assert_non_null(strstr(s.warnings[0], "f:1: this section is ignored"));
        assert_non_null(strstr(s.warnings[1], "f:3: the text after ']' is ignored"));
}

static void limits_the_number_of_sections_and_keys(void **state)
{
        AUTO(buf) text = BUF_MAX(1 * MiB);
        AUTO(profile_set) s = { 0 };

        (void)state;
        buf_put_c(&text, "[default]\n");
        for (int i = 0; i <= PROFILE_PROPERTIES_MAX; i++)
                buf_printf(&text, "k%d = v\n", i);
        assert_code(profile_set_add(&s, PROFILE_FILE_CONFIG, "f", buf_str(&text)), ERROR_RESOURCE_EXHAUSTED);
        buf_clear(&text);
        for (int i = 0; i <= PROFILE_SECTIONS_MAX; i++)
                buf_printf(&text, "[profile p%d]\n", i);
        assert_code(profile_set_add(&s, PROFILE_FILE_CONFIG, "f", buf_str(&text)), ERROR_RESOURCE_EXHAUSTED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_files_as_the_standard_says),
                cmocka_unit_test(keeps_the_files_apart_for_pairs_of_keys),
                cmocka_unit_test(finds_the_other_tables_and_their_parts),
                cmocka_unit_test(warns_of_common_mistakes),
                cmocka_unit_test(limits_the_number_of_sections_and_keys),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
