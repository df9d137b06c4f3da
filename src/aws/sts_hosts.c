/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sts_hosts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

/* A partition: its DNS suffix and the prefixes of its regions. A longer prefix comes before a shorter one that it contains. */
struct partition {
        const char *name;
        const char *suffix;
        const char *begins[9]; /* prefixes of region names, with the dash */
};

static const struct partition partitions[] = {
        { "aws-us-gov", "amazonaws.com", { "us-gov-" } },
        { "aws-iso", "c2s.ic.gov", { "us-iso-" } },
        { "aws-iso-b", "sc2s.sgov.gov", { "us-isob-" } },
        { "aws-iso-e", "cloud.adc-e.uk", { "eu-isoe-" } },
        { "aws-iso-f", "csp.hci.ic.gov", { "us-isof-" } },
        { "aws-cn", "amazonaws.com.cn", { "cn-" } },
        { "aws-eusc", "amazonaws.eu", { "eusc-de-" } },
        { "aws", "amazonaws.com", { "us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-" } },
};

struct row {
        const char *host;
        const char *region;
        const char *partition;
        bool is_global;
        bool is_fips;
};

#define REGION(partition, region, suffix) { "sts." region "." suffix, region, partition, false, false }
#define AWS(region)                       REGION("aws", region, "amazonaws.com")
#define FIPS(region)                      { "sts-fips." region ".amazonaws.com", region, "aws", false, true }
/* In GovCloud the ordinary host is the FIPS host; there is no other. */
#define GOVCLOUD(region) { "sts." region ".amazonaws.com", region, "aws-us-gov", false, true }

/* The regions of the partition data that AWS publishes with its SDKs (version 1.1), and the FIPS hosts of its list. */
static const struct row rows[] = {
        { "sts.amazonaws.com", "us-east-1", "aws", true, false },
        AWS("us-east-1"),      AWS("us-east-2"),      AWS("us-west-1"),      AWS("us-west-2"),
        AWS("ca-central-1"),   AWS("ca-west-1"),      AWS("mx-central-1"),   AWS("sa-east-1"),
        AWS("eu-central-1"),   AWS("eu-central-2"),   AWS("eu-north-1"),     AWS("eu-south-1"),
        AWS("eu-south-2"),     AWS("eu-west-1"),      AWS("eu-west-2"),      AWS("eu-west-3"),
        AWS("af-south-1"),     AWS("il-central-1"),   AWS("me-central-1"),   AWS("me-south-1"),
        AWS("ap-east-1"),      AWS("ap-east-2"),      AWS("ap-northeast-1"), AWS("ap-northeast-2"),
        AWS("ap-northeast-3"), AWS("ap-south-1"),     AWS("ap-south-2"),     AWS("ap-southeast-1"),
        AWS("ap-southeast-2"), AWS("ap-southeast-3"), AWS("ap-southeast-4"), AWS("ap-southeast-5"),
        AWS("ap-southeast-6"), AWS("ap-southeast-7"),
        FIPS("us-east-1"),     FIPS("us-east-2"),     FIPS("us-west-1"),     FIPS("us-west-2"),
        GOVCLOUD("us-gov-east-1"),
        GOVCLOUD("us-gov-west-1"),
        REGION("aws-cn", "cn-north-1", "amazonaws.com.cn"),
        REGION("aws-cn", "cn-northwest-1", "amazonaws.com.cn"),
        REGION("aws-eusc", "eusc-de-east-1", "amazonaws.eu"),
        REGION("aws-iso", "us-iso-east-1", "c2s.ic.gov"),
        REGION("aws-iso", "us-iso-west-1", "c2s.ic.gov"),
        REGION("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov"),
        REGION("aws-iso-b", "us-isob-west-1", "sc2s.sgov.gov"),
        REGION("aws-iso-e", "eu-isoe-west-1", "cloud.adc-e.uk"),
        REGION("aws-iso-f", "us-isof-east-1", "csp.hci.ic.gov"),
        REGION("aws-iso-f", "us-isof-south-1", "csp.hci.ic.gov"),
};

static bool wants_fips(const struct sts_host_options *o)
{
        return o != NULL && o->fips;
}

static const struct partition *partition_named(struct str name)
{
        for (size_t i = 0; i < ARRAY_LEN(partitions); i++)
                if (str_equal(name, str_of(partitions[i].name)))
                        return &partitions[i];
        return NULL;
}

/* The partition whose prefixes match the region. */
static const struct partition *partition_of_region(struct str region)
{
        if (!aws_region_is_well_formed(region))
                return NULL;
        for (size_t i = 0; i < ARRAY_LEN(partitions); i++)
                for (size_t k = 0; k < ARRAY_LEN(partitions[i].begins) && partitions[i].begins[k] != NULL; k++)
                        if (str_starts_with(region, str_of(partitions[i].begins[k])))
                                return &partitions[i];
        return NULL;
}

bool aws_region_is_well_formed(struct str region)
{
        unsigned dashes = 0;

        if (region.len == 0 || region.len >= STS_REGION_MAX || !char_is_digit(region.ptr[region.len - 1]))
                return false;
        for (size_t i = 0; i < region.len; i++) {
                char c = region.ptr[i];

                if (c == '-') {
                        if (i == 0 || region.ptr[i - 1] == '-')
                                return false;
                        dashes++;
                } else if (!char_is_digit(c) && !(char_is_alpha(c) && char_lower(c) == c)) {
                        return false;
                }
        }
        return dashes >= 2;
}

static struct sts_host host_of_row(const struct row *row)
{
        struct sts_host h = { .partition = row->partition, .is_global = row->is_global, .is_fips = row->is_fips };

        snprintf(h.name, sizeof h.name, "%s", row->host);
        snprintf(h.region, sizeof h.region, "%s", row->region);
        return h;
}

/* The regional host of a region that has passed aws_region_is_well_formed(). */
static struct sts_host host_of_region(struct str region, const struct partition *p)
{
        struct sts_host h = { .partition = p->name, .is_fips = str_equal(str_of(p->name), STR("aws-us-gov")) };

        snprintf(h.name, sizeof h.name, "sts.%.*s.%s", STR_ARG(region), p->suffix);
        snprintf(h.region, sizeof h.region, "%.*s", STR_ARG(region));
        return h;
}

/* Splits "region=partition"; false if it is malformed. */
static bool extra_region_read(struct str entry, struct str *ret_region, const struct partition **ret_partition)
{
        struct str rest = entry;
        struct str region = str_split(&rest, '=');
        const struct partition *p = partition_named(region.len == entry.len ? STR("aws") : rest);

        if (p == NULL || !aws_region_is_well_formed(region))
                return false;
        *ret_region = region;
        *ret_partition = p;
        return true;
}

struct error *sts_extra_region_check(struct str entry)
{
        struct str region;
        const struct partition *p;

        if (extra_region_read(entry, &region, &p))
                return NULL;
        AUTO_MEM char *shown = escaped(entry);
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not an AWS region", shown),
                          "write `region` (partition aws) or `region=partition`, as in `us-gov-north-1=aws-us-gov`");
}

/* The next well-formed extra region from *index on; false at the end. */
static bool next_extra(const struct sts_host_options *o, size_t *index, struct str *ret_region,
                       const struct partition **ret_partition)
{
        if (o == NULL || o->extra_regions == NULL)
                return false;
        while (o->extra_regions[*index] != NULL)
                if (extra_region_read(str_of(o->extra_regions[(*index)++]), ret_region, ret_partition))
                        return true;
        return false;
}

static bool find_any(struct str host, const struct sts_host_options *o, struct sts_host *ret)
{
        struct str region;
        const struct partition *p;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (str_equal(host, str_of(rows[i].host))) {
                        *ret = host_of_row(&rows[i]);
                        return true;
                }
        }
        for (size_t i = 0; next_extra(o, &i, &region, &p);) {
                struct sts_host h = host_of_region(region, p);

                if (str_equal(host, str_of(h.name))) {
                        *ret = h;
                        return true;
                }
        }
        return false;
}

bool sts_host_find(struct str host, const struct sts_host_options *options, struct sts_host *ret)
{
        struct sts_host h;

        if (!find_any(host, options, &h) || (wants_fips(options) && !h.is_fips))
                return false;
        *ret = h;
        return true;
}

/* The region R of "sts.R.<suffix>" or "sts-fips.R.<suffix>" if the suffix is that of R's partition; otherwise empty. */
static struct str region_in_host(struct str host)
{
        struct str rest = host;
        struct str label = str_split(&rest, '.');
        struct str region = str_split(&rest, '.');
        const struct partition *p = partition_of_region(region);

        if (p == NULL || !str_equal(rest, str_of(p->suffix)) ||
            !(str_equal(label, STR("sts")) || str_equal(label, STR("sts-fips"))))
                return (struct str){ 0 };
        return region;
}

struct error *sts_host_explain(struct str host, const struct sts_host_options *options)
{
        AUTO_MEM char *shown = escaped(host);
        struct str region = region_in_host(host);
        struct sts_host found;

        if (find_any(host, options, &found))
                return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                            "the request is signed for '%s', which is not a FIPS endpoint", shown),
                                  "this cluster accepts FIPS endpoints of STS only: set AWS_USE_FIPS_ENDPOINT=true "
                                  "on the joining host, and a region that has one");
        if (str_starts_with(host, STR("sts-fips.")) && !str_is_empty(region))
                return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                            "the request is signed for '%s', but AWS has no FIPS endpoint of STS there",
                                            shown),
                                  "us-east-1, us-east-2, us-west-1, us-west-2 and GovCloud have one");
        if (!str_is_empty(region))
                return error_hint(
                        error_new(ERROR_PERMISSION_DENIED,
                                  "the request is signed for '%s', a region that this cluster does not know", shown),
                        "if AWS has opened that region lately, an administrator can add it to extra_regions under "
                        "auth_service, aws in teleport.yaml; else check AWS_REGION on the joining host");
        return error_hint(error_new(ERROR_PERMISSION_DENIED,
                                    "the request is signed for '%s', which is not an AWS STS host", shown),
                          "unset AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL on the joining host, and check AWS_REGION");
}

/* The FIPS host for a client in `region`, as Teleport chooses it. */
static struct error *fips_host_for(struct str region, const struct partition *p, struct sts_host *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (rows[i].is_fips && str_equal(region, str_of(rows[i].region))) {
                        *ret = host_of_row(&rows[i]);
                        return NULL;
                }
        }
        if (str_equal(str_of(p->name), STR("aws")))
                return fips_host_for(STR("us-east-1"), p, ret);
        AUTO_MEM char *shown = escaped(region);
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "AWS has no FIPS endpoint of STS for region '%s'", shown),
                          "set AWS_REGION to a region that has one, or turn FIPS off (AWS_USE_FIPS_ENDPOINT)");
}

struct error *sts_host_for_region(struct str region, const struct sts_host_options *options, struct sts_host *ret)
{
        const struct partition *p = partition_of_region(region);
        struct str extra;
        const struct partition *extra_partition;

        for (size_t i = 0; next_extra(options, &i, &extra, &extra_partition);)
                if (str_equal(region, extra))
                        p = extra_partition;
        if (str_equal(region, STR("aws-global"))) {
                if (wants_fips(options))
                        return fips_host_for(STR("us-east-1"), partition_named(STR("aws")), ret);
                *ret = host_of_row(&rows[0]);
                return NULL;
        }
        if (p == NULL) {
                AUTO_MEM char *shown = escaped(region);
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "'%s' is not an AWS region", shown),
                                  "set AWS_REGION to the name of a region, as in us-west-2");
        }
        if (wants_fips(options))
                return fips_host_for(region, p, ret);
        struct sts_host h = host_of_region(region, p), known;
        h.is_guessed = !find_any(str_of(h.name), options, &known);
        *ret = h;
        return NULL;
}
