"""Resources as lists have them (目录条目), and one of them whole."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from catalog import Entry, Resource


class ResourceLine(BaseModel):
    """A resource as it stands in a list (目录条目)."""

    code: str = Field(description="信息资源代码")
    name: str = Field(description="信息资源名称")
    provider: str = Field(description="提供方代码")
    provider_name: str = Field(description="提供方")
    share_type: int = Field(description="共享类型：1 无条件、2 有条件、3 不予共享")
    share_ways: list[str] = Field(description="共享方式")
    update_cycle: str = Field(description="更新周期")
    record_class: str | None = Field(description="数据类别")
    version: int = Field(description="版本")
    version_in_force: int | None = Field(description="发布中的版本")
    state: str = Field(description="状态")
    label: str = Field(description="状态的名称")
    changed_at: datetime = Field(description="最近一次流转的时间")
    published_at: datetime | None = Field(description="发布时间")


class ResourceEntry(ResourceLine):
    """One version of a resource, whole (资源)."""

    actions: list[str] = Field(description="流程的下一步")
    resource: Resource = Field(description="登记的内容")


def line_of(entry: Entry) -> ResourceLine:
    """An entry of the directory as lists have it."""
    resource = entry.resource
    return ResourceLine(
        code=entry.code,
        name=resource.name,
        provider=resource.provider_code,
        provider_name=resource.provider,
        share_type=int(resource.share_type),
        share_ways=[str(way) for way in resource.share_ways],
        update_cycle=str(resource.update_cycle),
        record_class=resource.record_class,
        version=entry.version,
        version_in_force=entry.version_in_force,
        state=entry.state,
        label=entry.label,
        changed_at=entry.changed_at,
        published_at=entry.published_at,
    )


def whole(entry: Entry) -> ResourceEntry:
    """An entry of the directory with all it holds."""
    return ResourceEntry(**line_of(entry).model_dump(), actions=list(entry.actions), resource=entry.resource)
