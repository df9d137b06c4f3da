/* SPDX-License-Identifier: Apache-2.0 */
#include "app/refusal_page.h"

#include "base/error_testing.h"
#include "base/text.h"
#include "pki/key.h"

static const struct refusal refused = { .status = 502, .what = "the application '<b>' does not answer", .hint = "is it \"up\"?", .id = "id-1" };

struct page {
        struct buf body;
        struct http_fields fields;
};

static struct page page_for(const char *accept)
{
        struct page p = { .body = BUF_MAX(16 * KiB) };

        refusal_page_put(&p.body, &p.fields, str_of(accept), &refused);
        assert_true(str_equal(http_fields_get(&p.fields, "X-Request-Id"), STR("id-1")));
        assert_true(str_equal(http_fields_get(&p.fields, "Cache-Control"), STR("no-store")));
        return p;
}

static void release(struct page *p)
{
        buf_release(&p->body);
        http_fields_release(&p->fields);
}

static void browsers_get_a_page_with_reason_remedy_and_id(void **state)
{
        struct page p = page_for("text/html,application/xhtml+xml,*/*;q=0.8");

        (void)state;
        assert_non_null(strstr(buf_c(&p.body), "<main><h1>The application did not answer</h1>\n<p role=\"alert\">The application &#39;&lt;b&gt;&#39; does not answer.</p>\n"
                                               "<p>Is it &quot;up&quot;?</p>\n<p><small>Request ID: <code>id-1</code>"));
        release(&p);
}

static void the_policy_permits_the_style_of_the_page_only(void **state)
{
        struct page p = page_for("text/html");
        const char *style = strstr(buf_c(&p.body), "<style>") + 7, *end = strstr(style, "</style>");
        AUTO(buf) source = BUF_MAX(256);
        uint8_t digest[32];

        (void)state;
        sha256(str_of_bytes(style, (size_t)(end - style)), digest);
        buf_put_c(&source, "default-src 'none'; style-src 'sha256-");
        base64_encode(&source, str_of_bytes(digest, sizeof digest));
        buf_put_c(&source, "'; img-src data:;");
        assert_true(str_starts_with(http_fields_get(&p.fields, "Content-Security-Policy"), buf_str(&source)));
        release(&p);
}

static void programs_get_json_or_text(void **state)
{
        struct page json = page_for("application/json"), text = page_for("*/*");

        (void)state;
        assert_string_equal(buf_c(&json.body), "{\"error\":{\"message\":\"the application '<b>' does not answer\",\"hint\":\"is it \\\"up\\\"?\",\"request_id\":\"id-1\"}}\n");
        assert_string_equal(buf_c(&text.body), "ERROR: the application '<b>' does not answer\nhint:  is it \"up\"?\nrequest ID: id-1\n");
        release(&json);
        release(&text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(browsers_get_a_page_with_reason_remedy_and_id),
                cmocka_unit_test(the_policy_permits_the_style_of_the_page_only),
                cmocka_unit_test(programs_get_json_or_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
