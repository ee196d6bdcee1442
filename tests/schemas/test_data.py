"""The shipped files against the facts they were written from."""

from __future__ import annotations

import pytest

import schemas
from schemas import ITEM_TYPES, Item, RecordTable, arrow_schema

TABLES = {table.name: table for group in schemas.record_classes().values() for table in group.tables}


def item(table: str, name: str) -> Item:
    return next(item for item in TABLES[table].items if item.name == name)


@pytest.mark.parametrize(
    ("group", "tables"),
    {
        "natural_person": ["population", "up_uc_province_user"],
        "legal_person": [
            "up_uc_corporator_identity", "up_uc_info_enterprise", "up_uc_info_association",
            "up_uc_info_central_dept", "up_uc_gov_org",
        ],
        "licence": ["up_lic_data"],
        "investment_project": ["investment_project", "investment_project_enterprise"],
        "service_item": [
            "up_task_general_basic", "up_task_general_extend", "up_task_general_material",
            "up_task_general_fee_project", "up_task_general_questions",
        ],
        "case": ["up_pro_accept", "up_pro_process", "up_pro_result", "up_pro_special_procedure", "up_pro_material"],
    }.items(),
)  # fmt: skip
def test_tables_of_each_class(group: str, tables: list[str]) -> None:
    assert [table.name for table in schemas.record_class(group).tables] == tables


# table, item, type, length, mandatory: as in the national tables and the investment-project exchange
FACTS = """
up_task_general_basic catalog_code C 12 M
up_task_general_basic task_code C 36 M
up_task_general_basic task_handle_item C 50 O
up_task_general_basic local_task_code C 50 O
up_task_general_basic task_name C 1000 M
up_task_general_basic task_type C 2 M
up_task_general_basic task_version I - M
up_task_general_basic use_level C 11 M
up_task_general_basic dept_name C 200 M
up_task_general_basic dept_code C 50 M
up_task_general_basic entrust_name C 100 O
up_task_general_basic server_type C 32 M
up_task_general_basic project_type C 2 M
up_task_general_basic by_law M - M
up_task_general_basic accept_condition M - M
up_task_general_basic handle_flow M - M
up_task_general_basic anticipate_day I - M
up_task_general_basic anticipate_type C 2 M
up_task_general_basic anticipate_explain M - O
up_task_general_basic promise_day I - M
up_task_general_basic promise_type I - M
up_task_general_basic promise_explain M - M
up_task_general_basic special_procedure C 500 M
up_task_general_basic handle_type C 5 O
up_task_general_basic transact_addr C 500 M
up_task_general_basic link_way M - M
up_task_general_basic plan_effective_date T - O
up_task_general_extend online_handle_depth C 20 O
up_task_general_material material_name C 200 M
up_task_general_material is_need C 2 M
up_pro_accept project_no C 50 M
up_pro_accept catalog_code C 12 M
up_pro_accept task_code C 36 M
up_pro_accept task_name C 1000 M
up_pro_accept task_version I - M
up_pro_accept project_name C 1000 O
up_pro_accept apply_type C 2 M
up_pro_accept applyer_name C 100 M
up_pro_accept applyer_page_type C 70 M
up_pro_accept applyer_page_code C 500 M
up_pro_accept contact_type C 6 O
up_pro_accept contact_code C 50 O
up_pro_accept contact_mobile C 11 O
up_pro_accept address C 1000 O
up_pro_accept zip_code C 6 O
up_pro_accept apply_date T - M
up_pro_accept promise_date T - O
up_pro_accept org_code C 18 M
up_pro_process process_name C 1000 M
up_pro_process event_name C 2 M
up_pro_process handle_explain C 2000 M
up_pro_process event_end_time T - M
up_pro_result result_type C 2 M
up_pro_result result_date T - M
up_pro_result result_explain C 2000 O
up_pro_result result_cetr_name M - O
up_pro_result result_cetr_no C 2000 O
up_pro_result is_delivery_results C 2 M
up_pro_result satisfaction C 2 O
up_pro_special_procedure special_type C 2 M
up_pro_special_procedure special_name C 1000 M
up_pro_special_procedure special_reason C 2000 M
up_pro_special_procedure special_time T - M
up_pro_special_procedure end_time T - M
up_pro_material material_name C 200 M
up_pro_material get_type C 2 O
up_pro_material get_num C 5 O
up_lic_data certificate_source_id C 128 M
up_lic_data certificate_type C 256 M
up_lic_data certificate_type_code C 64 M
up_lic_data certificate_name C 512 M
up_lic_data certificate_number C 128 M
up_lic_data certificate_holder M - M
up_lic_data certificate_holder_type C 2000 O
up_lic_data certificate_area_code C 32 M
up_lic_data issue_dept_code C 32 M
up_lic_data issue_date C 32 M
up_uc_province_user user_name C 64 O
up_uc_province_user cert_type C 6 O
up_uc_province_user cert_no C 64 O
up_uc_province_user cert_key C 128 M
up_uc_province_user user_sex C 6 O
up_uc_province_user user_birthday C 8 O
up_uc_province_user user_home_address C 128 O
up_uc_province_user user_real_lvl C 64 M
up_uc_province_user user_region C 6 M
up_uc_corporator_identity certificate_key C 128 M
up_uc_corporator_identity corp_name C 256 O
up_uc_corporator_identity corp_type C 64 M
up_uc_corporator_identity corp_status C 6 O
up_uc_corporator_identity legal_cert_type C 12 O
up_uc_info_enterprise enterprise_range C 4000 O
up_uc_info_enterprise enterprise_capital C 12 O
up_uc_info_association competent_org C 320 O
up_uc_gov_org org_cc_code C 128 M
up_uc_gov_org org_status C 6 M
investment_project project_code C 32 M
investment_project project_name C 512 M
investment_project division_code C 16 M
investment_project project_type C 6 M
investment_project project_nature C 2 M
investment_project start_year C 6 O
investment_project place_code_detail C 1024 M
investment_project industry C 6 M
investment_project the_industry C 16 M
investment_project scale_content C 4000 M
investment_project apply_date T - M
investment_project validity_flag C 2 M
investment_project permit_item_code C 50 O
investment_project land_area C 16 O
population identity_number C 18 M
population name C 128 M
"""


@pytest.mark.parametrize("fact", FACTS.split("\n")[1:-1])
def test_fields_are_as_in_the_source(fact: str) -> None:
    table, name, kind, length, obligation = fact.split()
    found = item(table, name)
    assert found.type == kind
    assert found.length == (None if length == "-" else int(length))
    assert found.mandatory == (obligation == "M")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_has_key_and_version_and_no_sync_column(table: RecordTable) -> None:
    names = {item.name for item in table.items}
    assert table.key
    assert table.version is not None
    assert not [name for name in names if name.startswith("cd_") or name == "data_source"]
    assert {"data_version"} <= names or table.version == "task_version"
    assert len(arrow_schema(table.items)) == len(names)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_a_person_can_be_known_by_is_graded(table: RecordTable) -> None:
    for found in table.items:
        if any(word in found.label for word in ("姓名", "手机", "邮箱", "住址", "法定代表人", "通讯地址")):
            assert found.grade != "none" or "类型" in found.label, found.name
        if found.check == "identity_number" or "证件号码" in found.label or found.name == "cert_no":
            assert found.grade == "sensitive", found.name


def test_check_digit_rules_stand_where_the_numbers_are() -> None:
    assert item("population", "identity_number").check == "identity_number"
    assert item("up_uc_corporator_identity", "certificate_sno").check == "credit_code"
    assert item("up_uc_gov_org", "org_cc_code").check == "credit_code"
    assert item("up_lic_data", "certificate_source_id").check == "licence_identifier"
    assert item("investment_project", "project_code").check == "project_code"


def test_natural_versions_are_used_where_the_source_has_them() -> None:
    assert TABLES["up_task_general_basic"].version == "task_version"
    assert TABLES["investment_project"].version == "exchange_time"


def test_cases_refer_to_service_items() -> None:
    assert item("up_pro_accept", "task_code").reference == "service_item"
    assert item("up_pro_accept", "catalog_code").reference == "service_item"
    assert item("up_pro_accept", "task_code").code_list is None


def test_the_same_result_code_differs_between_provinces() -> None:
    guangdong, shandong = schemas.code_list("guangdong_result").codes, schemas.code_list("shandong_result").codes
    assert (guangdong["1"], shandong["1"]) == ("退回", "不予许可")
    assert (guangdong["6"], shandong["6"]) == ("办结", "不予受理")


def test_code_lists_keep_leading_zeros_and_case_rules() -> None:
    assert list(schemas.code_list("shandong_node_state").codes) == ["01", "02"]
    assert schemas.code_list("investment_project_type").ignore_case
    assert list(schemas.code_list("investment_project_type").codes) == ["A00001", "A00002", "A00003"]
    assert list(schemas.code_list("sex").codes) == ["0", "1", "2", "9"]
    assert list(schemas.code_list("licence_trust_level").codes) == ["A", "B", "C", "D"]
    assert schemas.code_list("item_type").codes == ITEM_TYPES


def test_every_code_list_has_a_label_for_each_code() -> None:
    for codes in schemas.code_lists().values():
        assert codes.source
        assert all(codes.codes.values()), codes.name


def test_national_profile() -> None:
    family = schemas.profile("national")
    assert (family.capture, family.batch, family.time, family.row) == ("batches", "cd_batch", "cd_time", "row_guid")
    assert family.delete is not None
    assert (family.delete.column, family.delete.values[0]) == ("cd_operation", "D")
    assert family.error_table is not None
    assert (
        family.error_table.format(table="up_lic_data", stem="up_lic_data".removeprefix(family.strip))
        == "dn_lic_data_error"
    )
    assert list(family.constants) == ["data_source"]
    assert (family.error_column, family.error_length) == ("error_remark", 512)


def test_jiangsu_profile() -> None:
    family = schemas.profile("jiangsu")
    assert family.state is not None
    assert (family.state.column, family.state.new, family.state.done) == ("sync_sign", (None, "0"), "1")
    assert family.state.failed != family.state.done
    assert (family.read_at, family.written_at) == ("sync_date", "update_date")
    assert (family.error_text, family.error_length) == ("sync_error_desc", 1000)


def test_guangdong_profile() -> None:
    family = schemas.profile("guangdong")
    assert family.state is not None
    assert (family.state.column, family.state.done, family.state.failed) == ("REC_FLAG", "1", "1")
    assert (family.version, family.read_at, family.written_at) == ("VERSION", "RESPONSETIME", "INSERTTIME")
    assert family.error_text is None
    assert family.error_table is not None
    assert family.identifier_case == "upper"


def test_shandong_profile() -> None:
    family = schemas.profile("shandong")
    assert family.state is not None
    assert (family.state.column, family.state.failed) == ("SIGNSTATE", "3")
    assert (family.version, family.written_at) == ("DATAVER", "MAKETIME")
    assert family.delete is not None
    assert (family.delete.column, family.delete.values, family.delete.updated) == ("DATASTATE", ("0",), "1")
    assert dict(family.constants) == {"STDVER": "1"}
    assert not [name for name in family.model_dump_json().split('"') if name.startswith("EXT")]
